package resolve

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// kubeReader reads one of the files that say which cluster is asked, and as whom.
type kubeReader func(path string) (fs.FileInfo, []byte, error)

// maxKubeconfig bounds each of them. Kubeconfigs of a hundred clusters with their
// certificates take about 500 kB.
const maxKubeconfig = 4 << 20

// inClusterToken is what client-go reads for a pod.
const inClusterToken = "/var/run/secrets/kubernetes.io/serviceaccount/token" //nolint:gosec // a path

// borrowed reports whether the files are named by a user who may perhaps not read what
// this process can: its program has capabilities (setcap), or is root's (setuid).
func (o *KubeOptions) borrowed() bool { return !o.Operator && hasMoreThanUser() }

// stat looks at a file with the rights of who named it.
func (o *KubeOptions) stat(path string) (info fs.FileInfo, err error) {
	if !o.borrowed() {
		return os.Stat(path)
	}
	err = asUser(func() error { info, err = os.Stat(path); return err })
	return info, refusedToUser(err)
}

// reader reads with the rights of who named the files. To ask first whether he may
// read one would leave him time to put another in its place.
func (o *KubeOptions) reader() kubeReader {
	if !o.borrowed() {
		return readBounded
	}
	return func(path string) (info fs.FileInfo, data []byte, err error) {
		err = asUser(func() error { info, data, err = readBounded(path); return err })
		return info, data, refusedToUser(err)
	}
}

// refusedToUser words that a user may not read what he has named.
func refusedToUser(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("the user who runs this may not read it: let him, or let the operator's file name the kubeconfig: %w", err)
	}
	return err
}

func readBounded(path string) (fs.FileInfo, []byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }() // was only read from
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxKubeconfig+1))
	if err == nil && len(data) > maxKubeconfig {
		err = fmt.Errorf("it is longer than %d bytes", maxKubeconfig)
	}
	return info, data, err
}

// embedFiles puts into cfg what the files say that a context names, so that the
// library opens none of them with rights that the user has not. A token is then not
// read again before the API refuses it, which makes the connection anew.
func embedFiles(cfg *clientcmdapi.Config, context *clientcmdapi.Context, read kubeReader) error {
	type named struct {
		key  string
		path *string
		data *[]byte
	}
	var files []named
	if c := cfg.Clusters[context.Cluster]; c != nil {
		files = append(files, named{"certificate-authority", &c.CertificateAuthority, &c.CertificateAuthorityData})
	}
	var token []byte
	user := cfg.AuthInfos[context.AuthInfo]
	if user != nil {
		files = append(files,
			named{"client-certificate", &user.ClientCertificate, &user.ClientCertificateData},
			named{"client-key", &user.ClientKey, &user.ClientKeyData},
			named{"tokenFile", &user.TokenFile, &token},
		)
	}
	for _, f := range files {
		if *f.path == "" {
			continue
		}
		if len(*f.data) > 0 {
			return fmt.Errorf("the kubeconfig has both %[1]s and %[1]s-data: leave one out", f.key)
		}
		_, data, err := read(*f.path)
		if err == nil && len(bytes.TrimSpace(data)) == 0 {
			err = errors.New("it is empty") // which would mean none, and so another authority
		}
		if err != nil {
			return fmt.Errorf("%s %s of the kubeconfig: %w", f.key, quote(*f.path), err)
		}
		*f.path, *f.data = "", data
	}
	if len(token) > 0 { // wins over one that stands in the kubeconfig, as in the library
		user.Token = string(bytes.TrimSpace(token))
	}
	return nil
}
