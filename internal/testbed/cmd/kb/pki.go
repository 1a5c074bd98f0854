package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// pki writes the certificates, keys and kubeconfigs that a cluster starts from
// into one directory.
func pki(args []string) error {
	flags := flag.NewFlagSet("pki", flag.ExitOnError)
	dir := flags.String("dir", "", "the directory that the files go to")
	server := flags.String("server", "", "the API server's URL, for the kubeconfigs")
	node := flags.String("node", "", "the node's name")
	names := flags.String("names", "", "names and addresses of the API server and the kubelet, with commas between them")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" || *server == "" || *node == "" || *names == "" {
		return fmt.Errorf("usage: kb pki -dir DIR -server URL -node NAME -names NAME,...")
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}
	ca, err := newAuthority(*dir)
	if err != nil {
		return err
	}
	hosts := append(strings.Split(*names, ","), *node)
	inside := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	for _, c := range []struct {
		file       string
		user       string // the common name, which Kubernetes takes for the user's
		group      string // the organization, likewise
		hosts      []string
		kubeconfig bool
	}{
		{file: "apiserver", user: "kube-apiserver", hosts: append(hosts, inside...)},
		{file: "apiserver-kubelet", user: "kube-apiserver-kubelet-client", group: "system:masters"},
		{file: "kubelet-server", user: "system:node:" + *node, group: "system:nodes", hosts: hosts},
		{file: "admin", user: "kubernetes-admin", group: "system:masters", kubeconfig: true},
		{file: "controller-manager", user: "system:kube-controller-manager", kubeconfig: true},
		{file: "scheduler", user: "system:kube-scheduler", kubeconfig: true},
		{file: "proxy", user: "system:kube-proxy", kubeconfig: true},
		{file: "kubelet", user: "system:node:" + *node, group: "system:nodes", kubeconfig: true},
	} {
		cert, key, err := ca.issue(c.user, c.group, c.hosts)
		if err != nil {
			return err
		}
		files := map[string][]byte{c.file + ".crt": cert, c.file + ".key": key}
		if c.kubeconfig {
			files[c.file+".kubeconfig"] = kubeconfig(*server, c.file, ca.pem, cert, key)
		}
		if err := write(*dir, files); err != nil {
			return err
		}
	}
	return serviceAccountKey(*dir)
}

// serviceAccountKey writes the pair that signs the tokens of service accounts.
func serviceAccountKey(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := encodeKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return write(dir, map[string][]byte{
		"sa.key": private, "sa.pub": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
	})
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  crypto.Signer
}

func newAuthority(dir string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "testbed"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:     true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	encoded, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	ca := &authority{cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key}
	return ca, write(dir, map[string][]byte{"ca.key": encoded, "ca.crt": ca.pem})
}

// issue makes a client's certificate, and a server's too where there are hosts.
func (ca *authority) issue(user, group string, hosts []string) (cert, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: user},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if group != "" {
		template.Subject.Organization = []string{group}
	}
	if len(hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, k.Public(), ca.key)
	if err != nil {
		return nil, nil, err
	}
	key, err = encodeKey(k)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key, err
}

func encodeKey(k *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(k)
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
}

func kubeconfig(server, user string, ca, cert, key []byte) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: testbed
  cluster: {server: %q, certificate-authority-data: %s}
users:
- name: %s
  user: {client-certificate-data: %s, client-key-data: %s}
contexts:
- name: testbed
  context: {cluster: testbed, user: %s}
current-context: testbed
`, server, b64(ca), user, b64(cert), b64(key), user)
}

func write(dir string, files map[string][]byte) error {
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
