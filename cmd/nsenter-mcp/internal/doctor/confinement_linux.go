package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// confinement tells what AppArmor or SELinux make of this process: a profile made
// for containers denies what capabilities allow, ptrace of other containers'
// processes above all, and with that their namespaces.
func confinement() Check {
	// AppArmor's own file where several modules are stacked (Linux 5.8), else the
	// one that all share.
	for _, file := range []string{"/proc/self/attr/apparmor/current", "/proc/self/attr/current"} {
		text, err := os.ReadFile(file)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EINVAL): // no such module here
			continue
		case err != nil:
			return Check{ID: "confinement", Status: Info, Detail: err.Error()}
		}
		label := strings.TrimRight(string(text), "\n\x00")
		if strings.Count(label, ":") >= 3 {
			return seLinux(label, enforcing())
		}
		return appArmor(label)
	}
	return Check{ID: "confinement", Status: OK, Detail: "neither AppArmor nor SELinux"}
}

// enforcing reports whether SELinux denies, and not only logs. Where its file
// system is not mounted, as in most containers, it may.
func enforcing() bool {
	text, err := os.ReadFile("/sys/fs/selinux/enforce")
	return err != nil || strings.TrimSpace(string(text)) != "0"
}

// appArmor judges a label such as "unconfined" or "docker-default (enforce)".
func appArmor(label string) Check {
	c := Check{ID: "confinement", Status: OK, Detail: fmt.Sprintf("AppArmor profile %q", label)}
	name, mode, _ := strings.Cut(label, " (")
	if name == "unconfined" || mode == "complain)" || mode == "unconfined)" {
		return c
	}
	c.Status = Warn
	c.Cost = "a profile made for containers denies access to the processes of others (ptrace), so that permission_denied follows in spite of the capabilities"
	c.Fix = "in a pod: securityContext.appArmorProfile.type: Unconfined; with docker: --security-opt apparmor=unconfined"
	return c
}

// seLinux judges a context such as "system_u:system_r:container_t:s0:c12,c34".
func seLinux(label string, enforcing bool) Check {
	c := Check{ID: "confinement", Status: OK, Detail: fmt.Sprintf("SELinux context %q", label)}
	kind := strings.Split(label, ":")[2]
	switch {
	case !enforcing:
		c.Detail += ", permissive"
	// The types that containers get (container_selinux(8)); spc_t, that of a
	// privileged one, is free.
	case strings.HasPrefix(kind, "container_") && kind != "container_runtime_t", kind == "svirt_lxc_net_t":
		c.Status = Warn
		c.Cost = "containers of this type may not open the processes and files of others, so that permission_denied follows in spite of the capabilities"
		c.Fix = "in a pod: securityContext.seLinuxOptions.type: spc_t; with docker or podman: --security-opt label=disable"
	}
	return c
}
