package gather

import "testing"

func TestAddressOfAService(t *testing.T) {
	t.Parallel()
	environ := []byte("PATH=/bin\x00API_V2_SERVICE_HOST=10.96.0.7\x00API_V2_SERVICE_PORT=80\x00BAD_SERVICE_HOST=evil\x00")
	for name, want := range map[string]string{
		"api-v2": "10.96.0.7", "api-v2.shop": "10.96.0.7", "api-v2.shop.svc.cluster.local.": "10.96.0.7",
		"api-v2.other": "", "api": "", "bad": "", "": "",
	} {
		if got := serviceAddress(environ, name, "shop"); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
