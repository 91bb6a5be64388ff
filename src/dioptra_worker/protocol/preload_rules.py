"""What a worker never imports for its jobs of its own accord, and for which jobs not.

Whoever names one in ``DIOPTRA_WORKER_PRELOAD`` has it imported all the same.
"""

from __future__ import annotations

NOT_LEARNED = {
    "cudf": "it opens the GPU",
    "cuml": "it opens the GPU",
    "cupy": "it reads which GPUs there are",
    "eventlet": "it changes how Python waits",
    "gevent": "it changes how Python waits",
    "horovod": "it has to be imported before other libraries",
    "intel_extension_for_pytorch": "it changes PyTorch, which has to be there",
    "jax": "a process that has imported it cannot be forked",
    "jaxlib": "a process that has imported it cannot be forked",
    "mpi4py": "it joins the other processes of a program when it is imported",
    "pycuda": "it opens the GPU",
    "pynvml": "it opens the GPU",
    "ray": "it has processes of its own",
    "rmm": "it opens the GPU",
    "sklearnex": "it changes scikit-learn",
    "torch_xla": "it has to be imported before other libraries",
    "unsloth": "it has to be imported before other libraries, and changes them",
    "wandb": "it has processes of its own",
}
"""Why a package is not learned, by the first part of its modules' names."""

READ_BY_LIBRARIES = (
    "ART_DATA",
    "CUDA_",
    "CUDNN_",
    "GOMP_",
    "HF_",
    "JAX_",
    "KERAS_",
    "KMP_",
    "MKL_",
    "MATPLOTLIB",
    "MPLBACKEND",
    "MPLCONFIGDIR",
    "NCCL_",
    "NUMBA_",
    "NUMEXPR_",
    "OMP_",
    "OPENBLAS_",
    "PYTORCH_",
    "TF_",
    "TORCH_",
    "TRANSFORMERS_",
    "VECLIB_",
    "XLA_",
)
"""What begins the names of variables that libraries read once, when they are imported.

What code names one of these may set it, and gets a process without such a library.
"""
