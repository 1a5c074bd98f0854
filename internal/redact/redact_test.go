package redact

import (
	"strings"
	"testing"
)

// allForms are arguments, each with what has to stay and what must not appear.
func allForms() []struct{ name, in, kept, secret string } {
	return []struct{ name, in, kept, secret string }{
		{"header object", `{"headers":{"Authorization":"Bearer s3cret","Accept":"text/html"}}`, `text/html`, `s3cret`},
		{"header line", `{"headers":["Authorization: Bearer s3cret","Host: a"]}`, `Host: a`, `s3cret`},
		{"proxy header", `{"headers":{"proxy-authorization":"Basic s3cret"}}`, `headers`, `s3cret`},
		{"cookie", `{"headers":{"Cookie":"sid=s3cret; a=b"}}`, `headers`, `s3cret`},
		{"escaped quote in a cookie", `{"headers":{"Cookie":"a\"s3cret"}}`, `headers`, `s3cret`},
		{"userinfo", `{"url":"http://me:s3cret@host/x"}`, `host/x`, `s3cret`},
		{"list of values", `{"headers":{"Authorization":["Bearer s3cret","Basic s3cret"]},"pod":"web"}`, `web`, `s3cret`},
		{"userinfo with an @", `{"url":"http://me:hush@s3cret@host/x"}`, `host/x`, `s3cret`},
		{"x-api-key", `{"x-api-key":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"X_API_KEY", `{"X_API_KEY":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"apiKey", `{"apiKey":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"api.key", `{"api.key":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"escaped letters of a name", `{"\u0061uthorization":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"escaped letters in a header line", `{"h":"\u0041uthorization\u003a s3cret","pod":"web"}`, `web`, `s3cret`},
		{"escaped slash and colon of a URL", `{"url":"http:\/\/me\u003as3cret@host\/x"}`, `host/x`, `s3cret`},
		{"upper case", `{"AUTHORIZATION":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"hyphens inside a word", `{"pass-word":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"underscores inside a word", `{"pass_word":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"blanks around a name", `{" authorization ":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"password", `{"password":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"passwd", `{"passwd":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"pwd", `{"pwd":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"pass", `{"pass":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"passphrase", `{"passphrase":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"secret", `{"secret":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"client_secret", `{"client_secret":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"access_token", `{"access_token":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"refreshToken", `{"refreshToken":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"session", `{"session":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"JSESSIONID", `{"JSESSIONID":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"PHPSESSID", `{"PHPSESSID":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"signature", `{"signature":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"credentials", `{"credentials":{"a":"s3cret"},"pod":"web"}`, `web`, `s3cret`},
		{"private key", `{"private_key":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"jwt", `{"jwt":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"auth", `{"auth":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"x-auth", `{"x-auth":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"key", `{"key":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"a number", `{"password":5311,"pod":"web"}`, `web`, `5311`},
		{"a secret object", `{"token":{"a":["s3cret"]},"pod":"web"}`, `web`, `s3cret`},
		{"nested object", `{"a":{"b":{"token":"s3cret"}},"pod":"web"}`, `web`, `s3cret`},
		{"in a list", `{"a":[{"b":1},{"token":"s3cret"}],"pod":"web"}`, `web`, `s3cret`},
		{"JSON in a string", `{"body":"{\"password\":\"s3cret\",\"user\":\"me\"}","pod":"web"}`, `me`, `s3cret`},
		{"JSON in JSON in a string", `{"body":"{\"a\":\"{\\\"password\\\":\\\"s3cret\\\",\\\"user\\\":\\\"me\\\"}\"}"}`, `me`, `s3cret`},
		{"JSON list in a string", `{"body":"[{\"token\":\"s3cret\"},\"kept\"]"}`, `kept`, `s3cret`},
		{"JSON string in a string", `{"body":"\"Authorization: s3cret\"","pod":"web"}`, `web`, `s3cret`},
		{"escaped name in JSON in a string", `{"body":"{\"p\\u0061ssword\":\"s3cret\"}","pod":"web"}`, `web`, `s3cret`},
		{"broken JSON in a string", `{"body":"{\"password\":\"s3cret\"","pod":"web"}`, `web`, `s3cret`},
		{"header entries", `{"headers":[{"name":"Authorization","value":"s3cret"},{"name":"Accept","value":"text/html"}]}`, `text/html`, `s3cret`},
		{"header entries by key", `{"headers":[{"key":"Cookie","value":"a=s3cret"}],"pod":"web"}`, `web`, `s3cret`},
		{"header entries in upper case", `{"headers":[{"Name":"X-Api-Key","Value":"s3cret"}],"pod":"web"}`, `web`, `s3cret`},
		{"header pairs", `{"headers":[["Authorization","s3cret"],["Accept","text/html"]]}`, `text/html`, `s3cret`},
		{"flat header pairs", `{"headers":["Authorization","s3cret","Accept","text/html"]}`, `text/html`, `s3cret`},
		{"command line", `{"args":["--token","s3cret","--pod","web"]}`, `web`, `s3cret`},
		{"command line with =", `{"args":["--token=s3cret","--pod=web"]}`, `web`, `s3cret`},
		{"curl -H", `{"args":"curl -H \"Authorization: Bearer s3cret\" web"}`, `curl -H`, `s3cret`},
		{"curl -H in quotes", `{"args":"curl -H 'X-Api-Key: s3cret' web"}`, `curl -H`, `s3cret`},
		{"lines of headers", `{"headers":"Accept: text/html\r\nAuthorization: Basic s3cret\r\nHost: web"}`, `web`, `s3cret`},
		{"set-cookie line", `{"headers":"Set-Cookie: a=s3cret; Path=/\nHost: web"}`, `web`, `s3cret`},
		{"header without blank", `{"headers":["Authorization:s3cret","Host:web"]}`, `web`, `s3cret`},
		{"header with tab", `{"headers":["Authorization:\ts3cret","Host:web"]}`, `web`, `s3cret`},
		{"scheme-less URL with userinfo", `{"url":"me:s3cret@host/x"}`, `host/x`, `s3cret`},
		{"network-path reference", `{"url":"//me:s3cret@host/x"}`, `host/x`, `s3cret`},
		{"password with a slash", `{"url":"http://me:s3/cret@host/x"}`, `host/x`, `cret@`},
		{"user alone as token", `{"url":"https://s3cret@host/x"}`, `host/x`, `s3cret`},
		{"upper-case scheme", `{"url":"HTTPS://me:s3cret@host/x"}`, `host/x`, `s3cret`},
		{"URL of a database", `{"url":"postgres://me:s3cret@db/x"}`, `db/x`, `s3cret`},
		{"socks proxy", `{"proxy":"socks5h://me:s3cret@host:1080"}`, `host:1080`, `s3cret`},
		{"URL in a sentence", `{"why":"see http://me:s3cret@host/x now"}`, `now`, `s3cret`},
		{"URL as a name", `{"http://me:s3cret@host/x":1,"pod":"web"}`, `web`, `s3cret`},
		{"query token", `{"url":"http://host/x?token=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"query key", `{"url":"http://host/x?key=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"query signature", `{"url":"http://host/x?X-Amz-Signature=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"query sig", `{"url":"http://host/x?sv=1&sig=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"query password", `{"url":"http://host/x?a=kept&password=s3cret"}`, `a=kept`, `s3cret`},
		{"query pwd", `{"url":"host/x?pwd=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"query session", `{"url":"host/x?a=kept;sessionid=s3cret"}`, `a=kept`, `s3cret`},
		{"fragment", `{"url":"http://host/x#access_token=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"escaped parameter name", `{"url":"http://host/x?%74oken=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"parameter name escaped twice", `{"url":"http://host/x?%2574oken=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"parameter in upper case", `{"url":"http://host/x?ACCESS-TOKEN=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"parameter in brackets", `{"url":"http://host/x?user[password]=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"URL in a parameter", `{"url":"http://host/x?next=http%3A%2F%2Fme%3As3cret%40h%2F&a=kept"}`, `a=kept`, `s3cret`},
		{"token in a URL in a parameter", `{"url":"http://host/x?next=%2Fy%3Ftoken%3Ds3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"relative URL", `{"path":"/x?token=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"form", `{"body":"user=me&password=s3cret"}`, `user=me`, `s3cret`},
		{"form that begins with it", `{"body":"password=s3cret&user=me"}`, `user=me`, `s3cret`},
		{"connection string", `{"dsn":"host=db user=me password=s3cret"}`, `user=me`, `s3cret`},
		{"connection string in quotes", `{"dsn":"host=db password='s3 cret' user=me"}`, `user=me`, `cret'`},
		{"cookie string", `{"x":"a=kept; session=s3cret"}`, `a=kept`, `s3cret`},
		{"bearer by itself", `{"x":"Bearer s3cret","pod":"web"}`, `web`, `s3cret`},
		{"basic by itself", `{"x":"basic s3cret","pod":"web"}`, `web`, `s3cret`},
		{"a JSON Web Token", `{"x":"eyJhbGciOiJub25lIn0.eyJzdWIiOiJzM2NyZXQifQ.c2ln","pod":"web"}`, `web`, `eyJzdWIi`},
		{"YAML", `{"body":"user: me\npassword: s3cret"}`, `me`, `s3cret`},
		{"XML", `{"body":"<user>me</user><password>s3cret</password>"}`, `me`, `s3cret`},
		{"XML with a prefix", `{"body":"<wsse:Password Type=\"x\">s3cret</wsse:Password><u>me</u>"}`, `me`, `s3cret`},
		{"multipart form", `{"body":"--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\ns3cret\r\n--b"}`, `form-data`, `s3cret`},
		{"token alone before a host", `{"url":"s3cretTokenOfAUser@host/x"}`, `host/x`, `s3cret`},
		{"token alone before a host and port", `{"proxy":"s3cret_0f_a_user@host:3128"}`, `host:3128`, `s3cret`},
		{"token alone in a sentence", `{"why":"git clone ghp_s3cret@github.com/x now"}`, `now`, `s3cret`},
		{"one-time code", `{"totp":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"pin", `{"pin":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"csrf", `{"X-CSRF":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"saml", `{"SAMLResponse":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"assertion", `{"body":"client_assertion=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"authorization code", `{"url":"http://host/callback?code=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"code verifier", `{"body":"code_verifier=s3cret&a=kept"}`, `a=kept`, `s3cret`},
		{"seed", `{"seed":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"cloud key", `{"headers":{"X-Amz-Security-Token":"s3cret","Host":"a"}}`, `Host`, `s3cret`},
		{"key of a storage", `{"AccountKey":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"connection string of a storage", `{"dsn":"AccountName=kept;SharedAccessKey=s3cret"}`, `kept`, `s3cret`},
		{"id of a key", `{"aws_access_key_id":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"kubeconfig", `{"client-key-data":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"login", `{"userpass":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"HMAC", `{"headers":{"X-Hub-HMAC":"s3cret","Host":"a"}}`, `Host`, `s3cret`},
		{"webhook", `{"webhook":"s3cret","pod":"web"}`, `web`, `s3cret`},
		{"digest", `{"x":"Digest username=\"me\", response=\"s3cret\"","pod":"web"}`, `web`, `s3cret`},
		{"name of a service and a token", `{"x":"token-service:8080 token=s3cret"}`, `token-service:8080`, `s3cret`},
		{"name twice", `{"token":"s3cret","token":"s3cret2","pod":"web"}`, `web`, `s3cret`},
		{"too deep", `{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"token":"s3cret"}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}`, `a`, `s3cret`},
		{"no JSON", `{"authorization": "s3cret`, `REDACTED`, `s3cret`},
		{"two values", `{"pod":"web"} {"token":"s3cret"}`, `REDACTED`, `s3cret`},
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	for _, form := range allForms() {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			got, hidden := JSON([]byte(form.in))
			if !hidden || strings.Contains(string(got), form.secret) || !strings.Contains(string(got), form.kept) {
				t.Errorf("JSON(%s) = %s, %t", form.in, got, hidden)
			}
			if again, _ := JSON(got); strings.Contains(string(again), form.secret) {
				t.Errorf("JSON(%s) = %s", got, again)
			}
		})
	}
}

func TestJSONKeeps(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`{"pod":"web-0","namespace":"shop"}`,
		`{"url":"http://host:8080/a@b?q=1#f"}`,
		`{"url":"http://[fe80::1%25eth0]:8080/a@b"}`,
		`{"pod":"token-service-0"}`,
		`{"pid":123456789012345678901}`,
		`{"headers":{"Accept":"text/html","Host":"a.b:80"}}`,
		`{"x":"\u0061"}`,
		`{"connect_to":["token-service:8080"],"resolve":["auth:443:10.0.0.1"]}`,
		`{"url":"token-service:8080"}`,
		`{"url":"session-store:6379/0"}`,
		`{"why":"connect to auth:443 and key-value.shop:80 now"}`,
		`{"server":"auth:53"}`,
		`{"why":"mail to me@example.com"}`,
		`{"name":"me@example.com"}`,
		`{"image":"busybox@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}`,
		`{"image":"nginx-1.27.0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}`,
		`{"interface":"eth0@if7"}`,
		`{"unit":"getty@tty1.service"}`,
		`{"status_code":200,"error_code":"refused","code":"not_found"}`,
	} {
		if got, hidden := JSON([]byte(in)); hidden || string(got) != in {
			t.Errorf("JSON(%s) = %s, %t", in, got, hidden)
		}
	}
}
