# What a person types. Each target is a script in .ci, which also sees to a missing home folder.
.PHONY: help test demo lint proof bench ci

help: ## Say what there is
	@grep -E '^[a-z]+:.*## ' Makefile | sed 's/:.*## /: /'

test: ## Run every test
	@.ci/test

demo: ## Build and run everything on this machine; ARGS="--once --json", ARGS="--idle", ARGS="--help"
	@.ci/demo $(ARGS)

lint: ## Run the static gates
	@.ci/lint

proof: ## Run what takes longer: kill rounds with the race detector, and the model over many seeds
	@.ci/proof

bench: ## Measure, and print the figures
	@.ci/bench

ci: ## Run the gates and the tests on a clean copy
	@.ci/run
