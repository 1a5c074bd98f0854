package main

import (
	"context"
	"log/slog"
	"net"
	"slices"

	"github.com/spf13/cobra"

	"nsenter-mcp/internal/mcpserve"
)

const serveHelp = `Serve agents over HTTP instead of standard input and output: several at a time,
and without starting a process for each.

Whoever can call this server reaches into every container of the node, so it is
never open to the network. It listens either on a unix socket that only its own
user can open, or on a loopback address with a token that each request has to
show ("Authorization: Bearer TOKEN"). The path of the endpoint is /mcp. Agents
elsewhere come through ssh, which can forward to both.

A token file holds one token, at least 32 characters long, and only its owner
may have access to it. Its name, without extensions, is how calls with this
token appear in the log; one file for each agent tells them apart. The files are
read at start.

On SIGTERM running calls get time to finish; a second signal ends at once.`

const serveExamples = `  nsenter-mcp serve --unix /run/nsenter-mcp.sock

  install -m 600 /dev/null agent.token && openssl rand -hex 32 > agent.token
  nsenter-mcp serve --listen 127.0.0.1:8080 --token-file agent.token

  ssh -L 8080:127.0.0.1:8080 node     and the agent uses http://127.0.0.1:8080/mcp`

// serveFlags say where to listen and who may call.
type serveFlags struct {
	unix, listen string
	tokenFiles   []string
	origins      []string
}

func newServe(o *options) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Serve agents over HTTP, on a unix socket or on loopback",
		Long:    serveHelp,
		Example: serveExamples,
		Args:    exactly(0, "no arguments"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return serveHTTP(cmd, o, &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.unix, "unix", "", "`path` of the unix socket to make")
	flags.StringVar(&f.listen, "listen", "", "loopback `address` with port, as in 127.0.0.1:8080")
	flags.StringArrayVar(&f.tokenFiles, "token-file", nil, "`path` of a file with a token (repeatable); needed with --listen")
	flags.StringArrayVar(&f.origins, "allow-origin", nil, "`origin` of web pages that may call, as in http://localhost:6274 (repeatable; default: none)")
	return cmd
}

func serveHTTP(cmd *cobra.Command, o *options, f *serveFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	config, err := f.config()
	if err != nil {
		return err
	}
	log, err := o.logger(cmd.ErrOrStderr(), slog.LevelInfo)
	if err != nil {
		return err
	}
	n, err := o.open(log)
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }() // the process ends
	server := mcpserve.New(mcpserve.Config{Dispatcher: n.dispatcher, Version: buildInfo().Version, Logger: log})
	l, err := f.listener(cmd.Context())
	if err != nil {
		return err
	}
	log.Info("serving over HTTP", slog.String("address", l.Addr().String()), slog.String("path", mcpserve.Endpoint),
		slog.String("version", buildInfo().Version))
	return mcpserve.NewHTTP(server, config).Serve(cmd.Context(), l)
}

// check finds what is wrong with the flags themselves.
func (f *serveFlags) check() error {
	switch {
	case (f.unix == "") == (f.listen == ""):
		return usagef("serve needs one of --unix PATH and --listen 127.0.0.1:PORT")
	case f.unix != "":
		return nil
	case len(f.tokenFiles) == 0:
		return usagef("--listen needs --token-file: every user of this machine can connect to a port")
	}
	if _, err := mcpserve.ParseLoopback(f.listen); err != nil {
		return usagef("--listen: %v", err)
	}
	return nil
}

// config reads the token files.
func (f *serveFlags) config() (mcpserve.HTTPConfig, error) {
	config := mcpserve.HTTPConfig{Origins: f.origins}
	for _, path := range f.tokenFiles {
		token, err := mcpserve.ReadToken(path)
		if err != nil {
			return config, err
		}
		named := func(t mcpserve.Token) bool { return t.Name() == token.Name() }
		if slices.ContainsFunc(config.Tokens, named) {
			return config, usagef("--token-file: two are named %s, and the log could not tell them apart", token.Name())
		}
		config.Tokens = append(config.Tokens, token)
	}
	return config, nil
}

func (f *serveFlags) listener(ctx context.Context) (net.Listener, error) {
	if f.unix != "" {
		return mcpserve.ListenUnix(ctx, f.unix)
	}
	var l net.ListenConfig
	return l.Listen(ctx, "tcp", f.listen)
}
