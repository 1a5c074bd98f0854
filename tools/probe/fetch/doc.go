// Package fetch makes one HTTP request from inside a network namespace, step by
// step, and says how far it came: name, connection, proxy, TLS, request,
// response, body.
//
// Each step is taken by itself and measured by itself; package net/http gets a
// connection that is ready and speaks HTTP on it, nothing else. So a failure has
// a stage and an exact reason instead of one error to guess from. Connecting is
// package attempt's work, with its explanations.
//
// A [Client] asks its owner before it connects to anything, with the literal
// address at hand (Client.Allow): names, redirects, proxies and overrides all
// end there. It reads bounded amounts, and everything that the other side wrote
// leaves it escaped.
package fetch
