# Everything a person does with a checkout. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build browser fastdds runtimes llm demo test lint unit kills bench fuzz clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: ## Install everything that is needed into .venv
	@bash bootstrap/environment.sh

build: setup ## Build the messages and the package with colcon into install/
	@bash bootstrap/build.sh

# Who asks for a backend has its runtime brought, if it is one of bootstrap/runtimes.txt, and who
# asks for a language model its weights.
demo: build $(if $(findstring --backend,$(ARGS)),runtimes) $(if $(findstring --llm,$(ARGS)),llm) ## Real networks on real camera and lidar recordings, with a live table
	@source bootstrap/activate.sh && install/aegis_ros/lib/aegis_ros/demo $(ARGS)

test: build browser fastdds runtimes lint unit ## Run the checks and all tests

browser:
	@bash bootstrap/browser.sh

fastdds:
	@bash bootstrap/fastdds.sh

runtimes: setup
	@bash bootstrap/runtimes.sh

llm: setup
	@bash bootstrap/llm.sh

lint: build ## ruff, mypy and the rules on who imports whom
	@source bootstrap/activate.sh && ruff format --check . && ruff check . && lint-imports --no-cache && mypy

# One process more than there are cores: an eighth of their time is waiting.
unit: build ## The tests alone (ARGS="-k name" selects)
	@source bootstrap/activate.sh && AEGIS_REQUIRE_ROS=1 python -m pytest -n $$(( $$(nproc) + 1 )) $(ARGS)

kills: build ## 100 kills of the engine at random moments; every frame is accounted for (KILLS=100)
	@source bootstrap/activate.sh && AEGIS_REQUIRE_ROS=1 AEGIS_KILLS=$(or $(KILLS),100) python -m pytest test/field/test_balance.py

bench: build ## Quick runs of the benchmarks; figures go to bench_output/page.md (docs/benchmarks.md)
	@source bootstrap/activate.sh && python -m benchmarks $(ARGS)

fuzz: build ## Hostile inputs for everything that strangers reach (ARGS="--seconds 60 --seed 7 --only compressed")
	@source bootstrap/activate.sh && python -m test.fuzz $(ARGS)

clean: ## Remove what was installed and built here
	rm -rf .venv .fastdds build install log .mypy_cache .ruff_cache .pytest_cache .hypothesis
