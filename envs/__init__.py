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

register_task_env("Navigation2D-v0", "envs.point_navigation:navigation", 100)
register_task_env("HalfCheetahVel-v0", "envs.half_cheetah:gym_scale_velocity", 200)
register_task_env("HalfCheetahDir-v0", "envs.half_cheetah:gym_scale_direction", 200)
register_task_env("HalfCheetahVelRllab-v0", "envs.half_cheetah:rllab_scale_velocity", 200)
register_task_env("HalfCheetahDirRllab-v0", "envs.half_cheetah:rllab_scale_direction", 200)
