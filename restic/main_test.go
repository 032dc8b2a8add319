package restic_test

import (
	"os"
	"testing"

	"restic-manager/restic/restictest"
)

func TestMain(m *testing.M) { os.Exit(restictest.Main(m)) }
