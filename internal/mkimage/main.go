// Command mkimage writes the image of a static program as an archive, without
// any container engine: `docker load`, `podman load` and `ctr images import`
// read it, and so does whatever reads an OCI layout. The archive depends on its
// input alone: no clock, no owner, no order of a map.
//
//	mkimage -ref example.org/app:1 -out app.tar -file /app=bin/app -entrypoint /app
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var s spec
	var out string
	flags := flag.NewFlagSet("mkimage", flag.ContinueOnError)
	flags.StringVar(&out, "out", "", "`path` of the archive")
	flags.StringVar(&s.ref, "ref", "", "the image's full `name`, with its tag")
	flags.StringVar(&s.arch, "arch", runtime.GOARCH, "the programs' `architecture`, as Go names it")
	flags.StringVar(&s.user, "user", "", "`uid:gid` that it runs as (default: root)")
	each := func(name, usage string, do func(string) error) { flags.Func(name, usage+"; may be repeated", do) }
	each("dir", "`path` of a folder; with a + before it, one that all may write to", s.addDir)
	each("file", "`path=source` of an executable file", s.addFile)
	each("text", "`path=content` of a small file", s.addText)
	each("link", "`path=target` of a symbolic link", s.addLink)
	each("entrypoint", "one `word` of the entry point", func(w string) error { s.entrypoint = append(s.entrypoint, w); return nil })
	each("cmd", "one `word` of the command", func(w string) error { s.cmd = append(s.cmd, w); return nil })
	each("label", "`key=value` of a label", s.addLabel)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected %q", flags.Arg(0))
	}
	if out == "" || !strings.Contains(s.ref[strings.LastIndexByte(s.ref, '/')+1:], ":") {
		return errors.New("-out and -ref are needed, and the latter with a tag")
	}
	archive, err := s.archive()
	if err != nil {
		return err
	}
	// Whole or not at all.
	if err := os.WriteFile(out+".new", archive, 0o600); err != nil {
		return err
	}
	return os.Rename(out+".new", out)
}
