package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// kubeOrigin is where the settings of the API come from: files, or with none,
// the pod that this runs in.
type kubeOrigin struct {
	files []kubeFile
}

// kubeFile is a kubeconfig as it lies there now.
type kubeFile struct {
	path string
	info fs.FileInfo
}

// key changes when the settings may have.
func (o *kubeOrigin) key() string {
	if len(o.files) == 0 {
		return "in-cluster"
	}
	var b strings.Builder
	for _, f := range o.files {
		fmt.Fprintf(&b, "%s\x00%d\x00%d\x00", f.path, f.info.Size(), f.info.ModTime().UnixNano())
	}
	return b.String()
}

// origin finds the kubeconfig files as kubectl does, else the pod's service
// account; [ErrAbsent] where there is neither.
func (o *KubeOptions) origin() (*kubeOrigin, error) {
	paths, named := o.kubeconfigs()
	origin := &kubeOrigin{}
	for _, p := range paths {
		info, err := stat(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // kubectl passes over them, too
		case err != nil:
			return nil, fmt.Errorf("kubeconfig: %w", err)
		case !info.Mode().IsRegular():
			return nil, fmt.Errorf("kubeconfig %s is no regular file", quote(p))
		}
		origin.files = append(origin.files, kubeFile{p, info})
	}
	switch {
	case len(origin.files) > 0:
		return origin, nil
	case named != "":
		return nil, fmt.Errorf("%s names %s, which does not exist", named, quote(paths[0]))
	case os.Getenv("KUBERNETES_SERVICE_HOST") == "":
		return nil, fmt.Errorf("no kubeconfig: %w", ErrAbsent)
	case o.Context != "":
		return nil, fmt.Errorf("context %s needs a kubeconfig, and there is none", quote(o.Context))
	}
	return origin, nil
}

// kubeconfigs are the files to look for, and who named them; "" is nobody.
func (o *KubeOptions) kubeconfigs() (paths []string, named string) {
	if o.Config != "" {
		return []string{o.Config}, "--kubeconfig"
	}
	if o.Operator {
		return nil, ""
	}
	for _, p := range filepath.SplitList(os.Getenv(clientcmd.RecommendedConfigPathEnvVar)) {
		if p != "" {
			paths = append(paths, p)
		}
	}
	if len(paths) > 0 {
		return paths, clientcmd.RecommendedConfigPathEnvVar
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, "" // a service without HOME has none
	}
	return []string{filepath.Join(home, clientcmd.RecommendedHomeDir, clientcmd.RecommendedFileName)}, ""
}

// restConfig reads the settings. It returns the credential plugin by itself,
// since it is started by us and not by the library, see [kubePlugin].
func (o *KubeOptions) restConfig(origin *kubeOrigin) (cfg *rest.Config, plugin *clientcmdapi.ExecConfig, namespace string, err error) {
	if len(origin.files) == 0 {
		cfg, err = rest.InClusterConfig()
		if err != nil {
			err = fmt.Errorf("service account of this pod: %w", err)
		}
		return cfg, nil, inClusterNamespace(), err
	}
	merged := clientcmdapi.NewConfig()
	for _, f := range origin.files {
		one, err := readKubeconfig(f)
		if err != nil {
			return nil, nil, "", err
		}
		mergeKubeconfig(merged, one)
	}
	chosen := cmp.Or(o.Context, merged.CurrentContext)
	if _, ok := merged.Contexts[chosen]; !ok {
		return nil, nil, "", noContext(chosen, merged)
	}
	client := clientcmd.NewNonInteractiveClientConfig(*merged, chosen, &clientcmd.ConfigOverrides{}, nil)
	if cfg, err = client.ClientConfig(); err != nil {
		return nil, nil, "", fmt.Errorf("kubeconfig %s: %w", quote(origin.files[0].path), err)
	}
	if namespace, _, err = client.Namespace(); err != nil {
		return nil, nil, "", fmt.Errorf("kubeconfig %s: %w", quote(origin.files[0].path), err)
	}
	plugin, cfg.ExecProvider = cfg.ExecProvider, nil
	if plugin != nil && isRoot() && !o.AllowPlugin {
		return nil, nil, "", fmt.Errorf("the kubeconfig would start the program %s as root to get credentials, "+
			"which needs --allow-exec-plugin; a token of a service account needs no program", quote(plugin.Command))
	}
	return cfg, plugin, namespace, nil
}

func noContext(name string, merged *clientcmdapi.Config) error {
	names := slices.Sorted(maps.Keys(merged.Contexts))
	const shown = 10
	for i := range names {
		names[i] = quote(names[i])
	}
	has := "it has none"
	if len(names) > 0 {
		has = "it has " + strings.Join(names[:min(len(names), shown)], ", ")
	}
	if name == "" {
		return fmt.Errorf("the kubeconfig has no current context: name one by --context; %s", has)
	}
	return fmt.Errorf("the kubeconfig has no context %s; %s", quote(name), has)
}

// readKubeconfig reads a file that only its owner can have changed. For root
// that must be root: a kubeconfig names files to
// read and send, and programs to run.
func readKubeconfig(f kubeFile) (*clientcmdapi.Config, error) {
	info, data, err := readBounded(f.path, maxKubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", quote(f.path), err)
	}
	if err := trusted(f.path, info); err != nil {
		return nil, err
	}
	cfg, err := clientcmd.Load(data)
	if err != nil {
		// The parser quotes the line, in which a secret may stand.
		return nil, fmt.Errorf("kubeconfig %s is not one: no valid YAML of kind Config", quote(f.path))
	}
	for _, c := range cfg.Clusters {
		c.LocationOfOrigin = f.path
	}
	for _, c := range cfg.AuthInfos {
		c.LocationOfOrigin = f.path
	}
	if err := clientcmd.ResolveLocalPaths(cfg); err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", quote(f.path), err)
	}
	return cfg, nil
}

// trusted reports why root should not follow the file.
func trusted(path string, info fs.FileInfo) error {
	if !isRoot() {
		return nil
	}
	if uid, known := ownerOf(info); known && uid != 0 {
		return fmt.Errorf("kubeconfig %s belongs to user %d, who could make root send any file: "+
			"give the file to root (chown), or run the server as that user", quote(path), uid)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("kubeconfig %s can be written by others than root (mode %04o), so root does not use the file: chmod go-w", quote(path), mode)
	}
	return nil
}

// mergeKubeconfig adds what dst does not have: of several files the first counts
// that says something, as for kubectl.
func mergeKubeconfig(dst, src *clientcmdapi.Config) {
	dst.CurrentContext = cmp.Or(dst.CurrentContext, src.CurrentContext)
	addMissing(dst.Clusters, src.Clusters)
	addMissing(dst.AuthInfos, src.AuthInfos)
	addMissing(dst.Contexts, src.Contexts)
}

func addMissing[T any](dst, src map[string]T) {
	for name, value := range src {
		if _, taken := dst[name]; !taken {
			dst[name] = value
		}
	}
}

// inClusterNamespace is the namespace of the pod that this runs in.
func inClusterNamespace() string {
	const file = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	_, data, err := readBounded(file, maxWords)
	if name := strings.TrimSpace(string(data)); err == nil && checkName("namespace", name, "") == nil {
		return name
	}
	return ""
}
