package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// atSecure is the key of the auxiliary vector by which the kernel says that a
// program has rights that its caller has not (getauxval(3), AT_SECURE).
const atSecure = 23

// refuseSecureExecution returns an error where the program's file gave it rights
// (file capabilities or a set-user-ID bit): every user who may start the file would
// have them, and would choose flags, environment and kubeconfig.
func refuseSecureExecution() error {
	vector, err := unix.Auxv()
	if err != nil {
		return fmt.Errorf("read the auxiliary vector: %w", err)
	}
	for _, entry := range vector {
		if entry[0] == atSecure && entry[1] != 0 {
			return errors.New("the program's file has capabilities or a set-user-ID bit, which would give root's rights " +
				"to every user who may start the file: take them away ('setcap -r FILE', 'chmod u-s,g-s FILE') and use sudo, " +
				"or systemd with ambient capabilities (deploy/nsenter-mcp.service)")
		}
	}
	return nil
}
