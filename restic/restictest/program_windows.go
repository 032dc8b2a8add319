package restictest

func processGroup() int { return 0 }
