package restic

import "testing"

func TestVersionsAreReadAndCompared(t *testing.T) {
	for text, want := range map[string]Version{
		"0.18.0": {0, 18, 0}, "0.19.1-dev": {0, 19, 1}, "1.0.12": {1, 0, 12}, "0.18.1+dfsg-1": {0, 18, 1},
	} {
		if got, err := ParseVersion(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0.18", "v0.18.0", "0.18.0.1", "0.18.x", "99999.0.0", "-1.0.0", "0.18.0 compiled", "0.18.0\n"} {
		if got, err := ParseVersion(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
	ordered := []Version{{0, 14, 0}, {0, 17, 3}, {0, 18, 0}, {0, 18, 1}, {0, 19, 0}, {1, 0, 0}}
	for i, a := range ordered {
		for j, b := range ordered {
			if a.Less(b) != (i < j) {
				t.Errorf("%s < %s is %v", a, b, a.Less(b))
			}
		}
	}
}

func TestOnlySupportedVersionsAreAccepted(t *testing.T) {
	for _, v := range []Version{{0, 14, 0}, {0, 17, 3}} {
		if CodeOf(checkVersion(v)) != CodeResticTooOld {
			t.Errorf("%s is accepted", v)
		}
	}
	for _, v := range []Version{{0, 18, 0}, {0, 19, 1}, {1, 0, 0}} {
		if err := checkVersion(v); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
}

func TestFeaturesDependOnTheVersion(t *testing.T) {
	if !(Version{0, 18, 0}).Has(FeatureStuckRequestTimeout) || (Version{0, 16, 5}).Has(FeatureStuckRequestTimeout) {
		t.Error("--stuck-request-timeout came with 0.17.0")
	}
	if (Version{0, 18, 1}).Has(FeatureMissingSourceExit3) || !(Version{0, 19, 1}).Has(FeatureMissingSourceExit3) {
		t.Error("exit code 3 for a missing source came with 0.19.0")
	}
	if (Version{9, 0, 0}).Has(Feature(-1)) {
		t.Error("an unknown feature is there")
	}
	for f := range features {
		if !(Version{99, 0, 0}).Has(f) {
			t.Errorf("feature %d is not in newer versions", f)
		}
	}
}

func TestOptionsFollowTheVersion(t *testing.T) {
	old, err := arguments(CatConfig{}.plan(MinVersion), Version{0, 16, 0}, Access{}, t.TempDir(), "/seen")
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range old {
		if arg == "--stuck-request-timeout=5m0s" {
			t.Error("an option was given to a version that does not know it")
		}
	}
}
