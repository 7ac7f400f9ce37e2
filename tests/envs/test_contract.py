"""The contract, held by every environment that this package registers."""

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Discrete
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import envs

ENV_IDS = [
    "Navigation2D-v0",
    "HalfCheetahVel-v0",
    "HalfCheetahDir-v0",
    "HalfCheetahVelRllab-v0",
    "HalfCheetahDirRllab-v0",
    "Bandit-v0",
]
PAYS_NOTHING_AT_TIMES = ("Bandit-v0",)
NUM_ENVS = 4

pytestmark = [
    pytest.mark.parametrize("env_id", ENV_IDS),
    pytest.mark.filterwarnings("ignore:.*A Box .* space m"),  # unbounded, as Gymnasium's own
]


def make(env_id, num_envs=NUM_ENVS, **kwargs):
    return envs.make_task_vector_env(env_id, num_envs, **{"num_threads": 1, **kwargs})


def random_actions(env, num_steps, seed=0):
    """Choices, or actions that leave the box now and then, [num_steps, num_envs, ...]."""
    shape = (num_steps, *env.action_space.shape)
    if isinstance(env.single_action_space, Discrete):
        return np.random.default_rng(seed).integers(env.single_action_space.n, size=shape)
    return 1.2 * env.single_action_space.high * np.random.default_rng(seed).uniform(-1, 1, shape)


def rollout(env, actions, seed):
    """Everything that the environment returned, as one list of arrays."""
    arrays = [env.reset(seed=seed)[0]]
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        arrays += [observation, reward, terminated, truncated, *info.values()]
    return arrays


def assert_identical(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gymnasium_checkers_pass(env_id):
    check_env(gymnasium.make(env_id).unwrapped, skip_render_check=True)


@pytest.mark.needs("EGL")
def test_gymnasium_checkers_of_drawing_pass(env_id):
    check_env(gymnasium.make(env_id).unwrapped)


def test_make_vec_and_make_agree_on_spaces_and_time_limit(env_id):
    vector, single = gymnasium.make_vec(env_id, num_envs=8), gymnasium.make(env_id)
    assert isinstance(vector, envs.TaskVectorEnv)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert vector.num_envs == 8
    assert vector.single_observation_space == single.observation_space
    assert vector.single_action_space == single.action_space
    vector.reset(seed=0)
    limit = single.spec.max_episode_steps
    if env_id == "Bandit-v0":  # whose episodes end by themselves, after as many pulls
        return
    # The family's own tasks are never reached by standing still, so that only time ends them.
    for step in range(1, limit + 1):
        _, _, terminated, truncated, _ = vector.step(np.zeros(vector.action_space.shape))
        assert not terminated.any()
        assert (truncated == (step == limit)).all()


def test_reward_is_the_sum_of_its_terms(env_id):
    env = make(env_id)
    env.reset(seed=1)
    for action in random_actions(env, 20):
        _, reward, _, _, info = env.step(action)
        terms = [value for name, value in info.items() if name.startswith("reward_")]
        assert all(term.shape == (NUM_ENVS,) for term in terms)
        np.testing.assert_allclose(reward, sum(terms), rtol=0, atol=1e-12)
        assert (np.abs(reward) > 0).all() or env_id in PAYS_NOTHING_AT_TIMES


def test_same_seeds_give_the_same_numbers_and_others_do_not(env_id):
    env, seeds = make(env_id), [7, 5, 3, 1]
    actions = random_actions(env, 20)
    first = rollout(env, actions, seeds)
    assert_identical(first, rollout(env, actions, seeds))
    # An integer s stands for s, s + 1, ...
    assert_identical(rollout(env, actions, 3), rollout(env, actions, [3, 4, 5, 6]))
    if env_id not in ("Navigation2D-v0", "Bandit-v0"):  # whose initial states are not random
        assert not np.array_equal(env.reset(seed=8)[0], env.reset(seed=9)[0])
        assert not np.array_equal(env.reset()[0], env.reset()[0])
        assert len(np.unique(env.reset(seed=0)[0][:, 0])) == NUM_ENVS


def test_thread_count_does_not_change_a_bit(env_id):
    one, two = make(env_id, 16, num_threads=1), make(env_id, 16, num_threads=2)
    actions = random_actions(one, 30)
    assert_identical(rollout(one, actions, 0), rollout(two, actions, 0))


def test_setting_a_task_leaves_no_trace(env_id):
    env = make(env_id)
    a, b = env.sample_tasks(2 * NUM_ENVS, np.random.default_rng(5)).reshape(2, NUM_ENVS, -1)
    b = b + 0.25  # so that the two differ in every entry, directions too
    actions = random_actions(env, 10)
    env.set_tasks(a)
    first = rollout(env, actions, 0)
    env.set_tasks(b)
    other = rollout(env, actions, 0)
    env.set_tasks(a)
    assert_identical(first, rollout(env, actions, 0))
    assert not np.array_equal(first[2], other[2])
    np.testing.assert_array_equal(env.tasks, a)


def test_tasks_are_drawn_from_the_given_generator_alone(env_id):
    env = make(env_id)
    tasks = env.sample_tasks(50, np.random.default_rng(3))
    assert tasks.shape == (50, len(env.task_parameter_names))
    assert tasks.dtype == np.float64
    env.reset(seed=1)
    np.testing.assert_array_equal(tasks, env.sample_tasks(50, np.random.default_rng(3)))
    assert len(np.unique(tasks[:, 0])) > 1


def test_the_task_range_is_what_the_distribution_gives(env_id):
    env = make(env_id)
    tasks = env.sample_tasks(2000, np.random.default_rng(1))
    low, high = env.task_range
    assert env.task_range.shape == (2, tasks.shape[1])
    assert ((low <= tasks) & (tasks <= high)).all()
    np.testing.assert_allclose(tasks.min(0), low, atol=0.01)
    np.testing.assert_allclose(tasks.max(0), high, atol=0.01)
    if env.finite_tasks is None:
        assert len(np.unique(tasks[:, 0])) == 2000
    else:
        np.testing.assert_array_equal(np.unique(tasks, axis=0), env.finite_tasks)


def test_an_ended_environment_is_frozen_until_it_is_reset(env_id):
    env, untouched = make(env_id, max_episode_steps=6), make(env_id)
    actions = random_actions(env, 12)
    env.reset(seed=0)
    for action in actions[:3]:
        env.step(action)
    # Environments 0 and 2 start anew after three steps, so 1 and 3 end three steps before them.
    mask = np.array([True, False, True, False])
    env.reset(seed=[0, None, 2, None], options={"reset_mask": mask})
    for action in actions[3:6]:
        at_end, _, _, truncated, _ = env.step(action)
    np.testing.assert_array_equal(truncated, ~mask)
    for action in actions[6:9]:
        observation, reward, _, truncated, info = env.step(action)
        np.testing.assert_array_equal(observation[~mask], at_end[~mask])
        assert (reward[~mask] == 0).all()
        assert all((v[~mask] == 0).all() for k, v in info.items() if k.startswith("reward_"))
        assert truncated[~mask].all()
        assert (reward[mask] != 0).all() or env_id in PAYS_NOTHING_AT_TIMES
        last_reward = reward
    assert truncated.all()
    frozen = env.step(actions[9])
    np.testing.assert_array_equal(frozen[0], observation)
    assert (frozen[1] == 0).all()

    # What was stepped beside frozen ones is what is stepped alone, bit for bit.
    untouched.reset(seed=0)
    for action in actions[3:9]:
        expected, expected_reward, *_ = untouched.step(action)
    np.testing.assert_array_equal(observation[mask], expected[mask])
    np.testing.assert_array_equal(last_reward[mask], expected_reward[mask])


def test_the_single_environment_is_a_row_of_the_batch(env_id):
    env, single = make(env_id), gymnasium.make(env_id)
    tasks = env.sample_tasks(NUM_ENVS, np.random.default_rng(2))
    actions = random_actions(env, 15)
    env.set_tasks(tasks)
    batch = rollout(env, actions, [4, 5, 6, 7])
    single.unwrapped.set_task(tasks[2])
    row = [single.reset(seed=6)[0]]
    for action in actions:
        observation, reward, terminated, truncated, info = single.step(action[2])
        assert type(reward) is float
        row += [observation, reward, terminated, truncated, *info.values()]
    assert_identical([array[2] for array in batch], row)
    np.testing.assert_array_equal(single.unwrapped.task, tasks[2])


def test_the_default_task_is_the_first_draw_of_generator_zero(env_id):
    env, single = make(env_id), gymnasium.make(env_id)
    np.testing.assert_array_equal(env.tasks, env.sample_tasks(NUM_ENVS, np.random.default_rng(0)))
    single.reset(seed=9)
    np.testing.assert_array_equal(
        single.unwrapped.task, env.sample_tasks(1, np.random.default_rng(0))[0]
    )


def test_what_is_returned_belongs_to_the_caller(env_id):
    env = make(env_id)
    env.reset(seed=0)
    action = random_actions(env, 2)
    first, *_ = env.step(action[0])
    kept = first.copy()
    env.step(action[1])
    np.testing.assert_array_equal(first, kept)


def test_mistakes_are_value_errors(env_id):
    env = make(env_id)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(env.action_space.shape))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="tasks must have shape"):
        env.set_tasks(env.tasks[:-1])
    with pytest.raises(ValueError, match="tasks must be finite"):
        env.set_tasks(np.full_like(env.tasks, np.nan))
    with pytest.raises(ValueError, match="actions must have shape"):
        env.step(np.zeros((1, *env.single_action_space.shape)))
    with pytest.raises(ValueError, match="environment 0 is"):
        env.step(np.full(env.action_space.shape, np.nan))
    with pytest.raises(ValueError, match="one entry for each of 4"):
        env.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(options={"reset_mask": np.zeros(NUM_ENVS, bool)})
