package restictest_test

import (
	"flag"
	"os"
	"testing"

	"restic-manager/restic/restictest"
)

var record = flag.Bool("record", false, "run the situations with the real programs and keep what they say in testdata/")

func TestMain(m *testing.M) { os.Exit(restictest.Main(m)) }
