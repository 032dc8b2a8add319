package wake_test

import (
	"os"
	"testing"

	"restic-manager/server/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
