package lab

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writeFiles makes the container's directory:
//
//	root/             what the process has as /
//	resolv.conf hosts what the runtime mounts as etc/resolv.conf and etc/hosts
//
// These two are hard links to the files below root, so both paths show the same
// file, as with the bind mounts of a real runtime. A container of a pod takes
// the sandbox's where its spec has none.
func (c *Container) writeFiles(files FileSpec, sandbox *Container) error {
	c.Root = filepath.Join(c.dir, "root")
	for _, dir := range []string{"etc", "proc", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(c.Root, dir), 0o755); err != nil {
			return err
		}
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(c.Root, "etc/nsswitch.conf"), []byte("hosts: files dns\n"), 0o644),
		os.WriteFile(filepath.Join(c.Root, "etc/hostname"), []byte(c.Hostname+"\n"), 0o644),
	)
	if err != nil {
		return err
	}
	c.ResolvConf, c.Hosts = filepath.Join(c.dir, "resolv.conf"), filepath.Join(c.dir, "hosts")
	resolvConf, hosts := files.ResolvConf, files.Hosts
	if sandbox != nil && resolvConf == "" {
		c.ResolvConf = sandbox.ResolvConf
	}
	if sandbox != nil && hosts == "" {
		c.Hosts = sandbox.Hosts
	}
	if err := share(c.ResolvConf, filepath.Join(c.Root, "etc/resolv.conf"), resolvConf); err != nil {
		return err
	}
	if err := share(c.Hosts, filepath.Join(c.Root, "etc/hosts"), cmp.Or(hosts, c.defaultHosts())); err != nil {
		return err
	}
	for name, content := range files.Extra {
		path := filepath.Join(c.Root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	if files.Prepare == nil {
		return nil
	}
	return files.Prepare(c.Root)
}

// share makes path with the content, unless it is there already, and link the
// same file.
func share(path, link, content string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	switch {
	case errors.Is(err, fs.ErrExist):
	case err != nil:
		return err
	default:
		_, err := f.WriteString(content)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return os.Link(path, link)
}

func (c *Container) defaultHosts() string {
	hosts := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	n := c.Netns()
	if n == nil || n.Style == HostNetwork {
		return hosts
	}
	if n.IP.IsValid() {
		hosts += fmt.Sprintf("%s\t%s\n", n.IP, c.Hostname)
	}
	if n.IP6.IsValid() {
		hosts += fmt.Sprintf("%s\t%s\n", n.IP6, c.Hostname)
	}
	return hosts
}
