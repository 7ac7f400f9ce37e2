"""What a user reads about an environment before it is trained on."""

import re
import time

import pytest

import envs
from envs.registry import check_task_env
from envs.scout_worker import ScoutWorker
from envs.user_env_recipe import UserEnvRecipe
from envs.user_fault import UserFault

pytestmark = pytest.mark.usefixtures("misbehaving")


def findings(name="Misbehaving", *, horizon=20, **options):
    """Those of a scout's worker, here, since starting a process takes longer than the check."""
    recipe = UserEnvRecipe(f"{name}-v0", "misbehaving", None, horizon, options)
    worker = ScoutWorker(b"")
    worker.recipe = recipe

    def ask(method, *arguments):
        answer = method(*arguments)
        if isinstance(answer, UserFault):
            raise ValueError(answer.sentence)
        return answer

    ask(worker.make_env)
    declarations = ask(worker.describe).declarations
    while (answer := ask(worker.check, declarations, horizon))[0] is not None:
        continue
    return answer[1]


def findings_of_a_process(*, timeout=20.0, **options):
    return check_task_env(
        "misbehaving:Misbehaving-v0", max_episode_steps=20, timeout=timeout, options=options
    )


def only_error(**options):
    (finding,) = findings(**options)
    assert finding.severity == "error"
    return finding.message


def test_a_sound_environment_has_no_findings():
    assert findings() == []
    assert findings("Sparse") == []
    assert findings("Frozen") == []


@pytest.mark.parametrize(
    ("where", "how", "told"),
    [
        ("reward", "None", "step returned None as reward; it should be one number"),
        ("reward", "text", "step returned the str '1.5' as reward"),
        ("reward", "complex", "step returned the complex (1+1j) as reward"),
        ("reward", "pair", "returned an array of shape (2,) and type float64 as reward"),
        ("reward", "nan", "step returned a reward that is not finite, nan"),
        ("terminated", "None", "step returned None as terminated; it should be True or False"),
        ("terminated", "text", "step returned the str '1.5' as terminated"),
        ("truncated", "pair", "an array of shape (2,) and type float64 as truncated"),
        ("truncated", "two", "step returned the int 2 as truncated"),
        ("info", "None", "step returned None as info; it should be a dictionary"),
        ("info", "list", "step returned a list of 0 values as info"),
        ("info", "diverged text", "the str 'yes' as info['diverged']; it should be True or False"),
        ("info", "success text", "the str 'no' as info['success']; it should be True or False"),
        ("values", 4, "step returned 4 values; Gymnasium asks for a tuple of 5"),
        ("values", "list", "step returned 5 values in a list"),
        ("reset returns", "observation", "reset returned an array of shape (2,) and type float32"),
        ("reset returns", "None", "reset returned None; it should return (observation, info)"),
        ("reset info", "", "reset returned None as info"),
        ("observation", "None", "reset returned None as observation; it should be an array of"),
        ("observation", "shape", "an observation of shape (3,); its space has shape (2,)"),
        ("observation", "object", "an array of shape (2,) and type object as observation"),
        ("observation", "strings", "a list of 2 values of type str as observation"),
        ("observation", "ragged", "a list of 2 values of type float and list as observation"),
        ("observation", "nan", "reset returned an observation that is not finite"),
        ("step", "raise", "step 1 of an episode raised KeyError: 'boom'"),
        ("step", "sys.exit", "raised SystemExit: 9"),
        ("step", "interrupt", "raised KeyboardInterrupt"),
        ("step", "generator exit", "raised GeneratorExit"),
        ("step", "unprintable", "raised UnprintableError, whose text cannot be printed"),
        ("step", "recursion", "raised RecursionError: maximum recursion depth"),
        ("reset", "raise", "reset raised KeyError"),
        ("set_task", "sys.exit", "set_task raised SystemExit: 9"),
    ],
)
def test_what_an_environment_does_is_named_with_its_line(where, how, told):
    message = only_error(where=where, how=how)
    assert told in message
    assert "(misbehaving.py:" in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("where", "how"),
    [
        ("reward", "one"),
        ("reward", "one by one"),
        ("reward", "integer"),
        ("terminated", "one"),
        ("truncated", "one"),
        ("truncated", "integer"),
        ("observation", "list"),
        ("info", "success"),
        ("info", "success None"),
    ],
)
def test_what_means_the_same_is_taken(where, how):
    assert findings(where=where, how=how) == []


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_a_float_observation_in_a_space_of_integers_is_refused_by_both_types(dtype):
    message = only_error(where="observation", how="float", observation=dtype)
    assert f"an observation of type float32, but its space has type {dtype}" in message


def test_integers_are_taken_where_their_values_fit():
    assert findings(where="observation", how="small", observation="uint8") == []
    message = only_error(where="observation", how="large", observation="uint8")
    assert "of type int64 with entries from 0 to 300, which its space's type uint8" in message
    assert findings(where="observation", how="large", observation="float32") == []


@pytest.mark.parametrize(
    ("where", "how", "told"),
    [
        ("tasks", "None", "sample_tasks returned None; it should return an array [8, task_param"),
        ("tasks", "dictionaries", "returned a list of 8 values of type dict"),
        ("tasks", "strings", "returned a list of 8 values of type list"),
        ("tasks", "vector", "returned an array of shape (8,)"),
        ("tasks", "short", "returned an array of shape (7, 1)"),
        ("tasks", "empty", "returned an array of shape (8, 0)"),
        ("tasks", "nan", "returned a task that is not finite, [nan]"),
        ("tasks", "complex", "of shape (8, 1) and type complex128"),
    ],
)
def test_tasks_of_another_form(where, how, told):
    with pytest.raises(ValueError) as caught:
        findings(where=where, how=how)
    assert told in str(caught.value)
    assert "(misbehaving.py:" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("NoGenerator", "sample_tasks should take (num_tasks, rng), not (num_tasks)"),
        ("NameOfLetters", "must be a tuple of names, not the string 'goal': ('goal',) is one"),
    ],
)
def test_methods_and_names_of_another_form(name, told):
    with pytest.raises(ValueError) as caught:
        findings(name)
    assert told in str(caught.value)


def test_set_task_without_a_task():
    (finding,) = findings("NoTask")
    assert "set_task should take (task), not ()" in finding.message


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("unbounded", "finite bounds, not Box.*; declare bounds, outside of which actions are cl"),
        ("no choice", "the action space leaves no choice"),
        ("empty", "the action space has no entries"),
        ("int64", "type int64, but a policy's actions are of type float32.* round in step"),
    ],
)
def test_action_spaces_and_the_way_out(action, told):
    with pytest.raises(ValueError, match=told):
        findings(action=action)


def test_a_clipping_wrapper_is_named():
    with pytest.raises(ValueError, match="leave out its wrapper ClipAction"):
        findings("Clipped")


@pytest.mark.parametrize(
    ("where", "how", "told"),
    [
        ("init", "raise", "cannot be made with the options .*: KeyError: 'boom'"),
        ("init", "sys.exit", "cannot be made with the options .*: SystemExit: 9"),
        ("init", "os._exit", "making an environment ended its process with exit code 7"),
        ("init", "interrupt", "making an environment raised KeyboardInterrupt"),
        ("init", "segfault", "making an environment ended its process by SIGSEGV"),
        ("init", "hang", r"making an environment took longer than 4 s \(timeout\)"),
        ("init", "spin", r"making an environment took longer than 4 s \(timeout\)"),
        ("reset", "hang", r"playing an episode took longer than 4 s \(timeout\)"),
        ("step", "os._exit", "playing an episode ended its process with exit code 7"),
        ("sample_tasks", "interrupt", "sample_tasks raised KeyboardInterrupt"),
        ("sample_tasks", "hang", "sample_tasks took longer than 4 s"),
        ("close", "os._exit", "closing an environment ended its process with exit code 7"),
    ],
)
def test_code_that_ends_or_blocks_its_process_is_one_sentence(where, how, told):
    with pytest.raises((ValueError, envs.EnvironmentFault), match=told):
        findings_of_a_process(where=where, how=how, timeout=4.0)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("raise", r"cannot be imported: RuntimeError: no import \(misbehaving.py:\d+\)"),
        ("exit", "the module misbehaving cannot be imported: SystemExit: 3"),
        ("hang", "importing the module misbehaving took longer than 4 s"),
    ],
)
def test_a_module_that_does_not_import(monkeypatch, how, told):
    monkeypatch.setenv("MISBEHAVING_IMPORT", how)
    with pytest.raises((ValueError, envs.EnvironmentFault), match=told):
        findings_of_a_process(timeout=4.0)


def test_an_id_that_the_module_does_not_register():
    with pytest.raises(ValueError, match=r"Shrt-v0 is not registered by .*misbehaving.py \(did yo"):
        findings("Shrt")


def test_a_message_is_one_line_of_printable_letters():
    message = only_error(where="step", how="escape")
    assert r"ValueError: \x1b[31m red \udcff second line" in message
    assert len(only_error(where="step", how="long")) < 500


@pytest.mark.parametrize(
    ("name", "where", "how", "told"),
    [
        ("Misbehaving", "numpy", "", "step uses the global generator of numpy.random"),
        ("Misbehaving", "random", "", "step uses the global generator of random"),
        (
            "Misbehaving",
            "counter",
            "",
            "the same seed, task and actions differs in .*Misbehaving k",
        ),
        ("Misbehaving", "goal", "", "were the same: reset may draw a task of its own"),
        ("Misbehaving", "tasks", "global", "sample_tasks uses the global generator of numpy"),
        ("Misbehaving", "tasks", "unseeded", "sample_tasks drew other tasks from an equal gen"),
        ("Misbehaving", "tasks", "constant", "sample_tasks drew the same tasks from two"),
        ("OwnStatistics", "", "", "second episode .* differs in the observation .*OwnStatistics k"),
        ("Misbehaving", "close", "raise", "close raised KeyError: 'boom'"),
        ("Misbehaving", "close", "sys.exit", "close raised SystemExit: 9"),
    ],
)
def test_what_makes_results_hard_to_repeat_is_a_warning(name, where, how, told):
    found = findings(name, where=where, how=how)
    assert [finding.severity for finding in found] == ["warning"] * len(found)
    assert any(re.search(told, finding.message) for finding in found), found


def test_environments_that_are_made_at_random():
    (finding,) = findings("RandomMaking")
    assert "drawn at random when an environment is made" in finding.message


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("NormalizeReward", "advantages are standardised"),
        ("NormalizeObservation", "policy.normalise_observations=true"),
    ],
)
def test_running_statistics_are_refused_by_name(name, instead):
    (finding,) = findings(name)
    assert finding.severity == "error"
    assert finding.message.startswith(f"{name} keeps running statistics")
    assert instead in finding.message


def test_the_smaller_time_limit_is_said():
    assert findings("Short", horizon=5) == []
    (finding,) = findings("Short", horizon=6)
    assert finding.message == (
        "episodes end after 5 steps, the max_episode_steps of its registration, and not at the "
        "horizon of 6"
    )


def test_our_own_environments_pass():
    for env_id in ("Navigation2D-v0", "HalfCheetahVel-v0", "HalfCheetahDir-v0"):
        assert check_task_env(env_id, max_episode_steps=300, timeout=60.0) == []


def test_a_slow_environment_is_not_played_for_long():
    start = time.monotonic()
    assert findings("SlowStep", seconds=0.1, horizon=10_000) == []
    assert time.monotonic() - start < 10
