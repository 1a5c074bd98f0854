package nsexec

import "testing"

func TestReleaseAtLeast(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]bool{
		"5.8.0":                              true,
		"5.8":                                true,
		"5.10.0-28-amd64":                    true,
		"6.1.0-13-amd64":                     true,
		"6.18.44":                            true,
		"10.0":                               true,
		"5.8-rc1":                            true,
		"5.15.167.4-microsoft-standard-WSL2": true,
		"5.7.19":                             false,
		"4.18.0-553.el8_10.x86_64":           false,
		"4.19":                               false,
		"3.10.0-1160.el7.x86_64":             false,
		// What cannot be read counts as new enough.
		"":      true,
		"6":     true,
		"next":  true,
		"x.y.z": true,
	} {
		if got := releaseAtLeast(release, 5, 8); got != want {
			t.Errorf("%q at least 5.8: %v, want %v", release, got, want)
		}
	}
}
