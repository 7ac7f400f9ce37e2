"""Environments with tasks; importing this package registers them with Gymnasium."""

from envs.registry import make_task_vector_env, register_task_env
from envs.task_env import Dynamics, EnvironmentFault, TaskFamily, TaskVectorEnv

__all__ = [
    "Dynamics",
    "EnvironmentFault",
    "TaskFamily",
    "TaskVectorEnv",
    "make_task_vector_env",
    "register_task_env",
]

register_task_env(
    "Navigation2D-v0", "envs.point_navigation:navigation", 100, steps_in_threads=False
)
register_task_env("Bandit-v0", "envs.bandit:bandit", 100, steps_in_threads=False)
for _id, _builder in {
    "HalfCheetahVel-v0": "gym_scale_velocity",
    "HalfCheetahDir-v0": "gym_scale_direction",
    "HalfCheetahVelRllab-v0": "rllab_scale_velocity",
    "HalfCheetahDirRllab-v0": "rllab_scale_direction",
}.items():
    register_task_env(_id, f"envs.half_cheetah:{_builder}", 200, steps_in_threads=True)
