// Demo runs Lockstep and everything around it on one machine.
package main

import (
	"os"

	"lockstep/demo/command"
	"lockstep/demo/play"
)

func main() {
	os.Exit(command.Run(os.Args[1:], os.Stdout, os.Stderr, play.Play))
}
