// Command worker carries out what was decided: Temporal workflows and the vendor calls of their activities.
package main

import (
	"os"

	"lockstep/internal/app"
)

func main() { os.Exit(app.RunWorker(app.Standard())) }
