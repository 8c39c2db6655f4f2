// Command lockstep is the front door that starts workflows, and the operator's commands.
package main

import (
	"os"

	"lockstep/internal/app"
)

func main() { os.Exit(app.Run(os.Args[1:], app.Standard())) }
