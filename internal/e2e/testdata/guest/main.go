// Guest is all that the test's container images hold.
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	mode, argument := "wait", ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	if len(os.Args) > 2 {
		argument = os.Args[2]
	}
	switch mode {
	case "wait":
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
		<-stop
	case "exit":
		code, err := strconv.Atoi(argument)
		if err != nil {
			code = 2
		}
		os.Exit(code)
	case "serve":
		http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello from the guest") })
		fmt.Fprintln(os.Stderr, http.ListenAndServe(argument, nil))
		os.Exit(1)
	}
}
