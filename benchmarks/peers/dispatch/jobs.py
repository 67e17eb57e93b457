# SPDX-License-Identifier: Apache-2.0
"""No-op jobs through another system: jobs.py SYSTEM WORKERS JOBS, in the environment of the system.

Prints "warm" when a tenth of the jobs has ended and "done" when all have, and then waits for its
standard input to end, so that who started it can look at all processes. A job gets a config of
three numbers, drawn at random, and answers with a loss."""
import logging
import multiprocessing
import os
import sys
import tempfile
import threading


class Counter:
    def __init__(self, jobs):
        self.jobs, self.ended, self.lock = jobs, 0, threading.Lock()

    def add(self, count=1):
        with self.lock:
            before, self.ended = self.ended, self.ended + count
            for share, word in ((self.jobs // 10, "warm"), (self.jobs, "done")):
                if before < share <= self.ended:
                    print(word, flush=True)


def draw(random):
    return {"a": random.random(), "b": random.random(), "c": random.randint(1, 100)}


def space():
    import ConfigSpace as cs
    from ConfigSpace import hyperparameters as hp

    made = cs.ConfigurationSpace(seed=1)
    for name in "ab":
        made.add_hyperparameter(hp.UniformFloatHyperparameter(name, 0.0, 1.0))
    made.add_hyperparameter(hp.UniformIntegerHyperparameter("c", 1, 100))
    return made


class Log:
    """What HpBandSter and UltraOpt tell of each job."""

    def __init__(self, counter):
        self.counter = counter

    def new_config(self, *_):
        pass

    def __call__(self, _):
        self.counter.add()


def start_processes(count, target, *arguments):
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=target, args=(i, *arguments), daemon=True) for i in range(count)]
    for process in processes:
        process.start()
    return processes


def hpbandster(workers, jobs, folder, counter):
    import hpbandster.core.nameserver as names
    from hpbandster.core.worker import Worker
    from hpbandster.optimizers import RandomSearch

    class NoOp(Worker):
        def compute(self, config_id, config, budget, working_directory):
            return {"loss": config["a"], "info": {}}

    def work(number, host, port):
        NoOp(run_id="noop", nameserver=host, nameserver_port=port, id=number).run(background=False)

    server = names.NameServer(run_id="noop", host="127.0.0.1", port=0, working_directory=folder)
    host, port = server.start()
    start_processes(workers, work, host, port)
    master = RandomSearch(
        configspace=space(), run_id="noop", nameserver=host, nameserver_port=port, host="127.0.0.1",
        min_budget=1, max_budget=1, result_logger=Log(counter), ping_interval=5,
    )
    master.run(n_iterations=jobs, min_n_workers=workers)


def ultraopt(workers, jobs, folder, counter):
    import pandas

    # tabular_nn, which UltraOpt imports, looks for it where pandas had it before 1.5.
    pandas.core.common.SettingWithCopyWarning = pandas.errors.SettingWithCopyWarning
    from ultraopt.async_comm.master import Master
    from ultraopt.async_comm.nameserver import NameServer
    from ultraopt.async_comm.worker import Worker
    from ultraopt.multi_fidelity import CustomIterGenerator
    from ultraopt.optimizer import RandomOptimizer

    def work(number, host, port):
        worker = Worker(run_id="noop", nameserver=host, nameserver_port=port, host=host, worker_id=number)
        worker.initialize(lambda config: config["a"])
        worker.run()

    server = NameServer(run_id="noop", host="127.0.0.1", port=0, working_directory=folder)
    host, port = server.start()
    start_processes(workers, work, host, port)
    optimizer = RandomOptimizer()
    optimizer.initialize(space(), [1], random_state=1)
    master = Master(
        "noop", optimizer, CustomIterGenerator([1], [1]), nameserver=host, nameserver_port=port, host=host,
        result_logger=Log(counter), ping_interval=5, working_directory=folder,
    )
    master.run(jobs, min_n_workers=workers)


def optuna_study(workers, jobs, storage_of, counter):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial):
        trial.suggest_float("b", 0, 1)
        trial.suggest_int("c", 1, 100)
        return trial.suggest_float("a", 0, 1)

    optuna.create_study(study_name="noop", storage=storage_of())
    reader, writer = os.pipe()

    def work(number):
        study = optuna.load_study(
            study_name="noop", storage=storage_of(), sampler=optuna.samplers.RandomSampler(seed=number)
        )
        share = jobs // workers + (number < jobs % workers)
        study.optimize(objective, n_trials=share, callbacks=[lambda *_: os.write(writer, b".")])

    start_processes(workers, work)
    while counter.ended < jobs:
        counter.add(len(os.read(reader, 4096)))


def optuna_sqlite(workers, jobs, folder, counter):
    import optuna

    def storage():
        return optuna.storages.RDBStorage(
            f"sqlite:///{folder}/optuna.db", engine_kwargs={"connect_args": {"timeout": 600}}
        )

    optuna_study(workers, jobs, storage, counter)


def optuna_journal(workers, jobs, folder, counter):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna_study(workers, jobs, lambda: JournalStorage(JournalFileBackend(f"{folder}/journal.log")), counter)


def celery(workers, jobs, folder, counter):
    """Two jobs a worker are outstanding; answers are taken in the order of the questions."""
    import collections
    import random
    import subprocess

    import celery_app

    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-c", str(workers), "-l", "ERROR"],
        cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    source, outstanding, sent = random.Random(1), collections.deque(), 0
    while counter.ended < jobs:
        while sent < jobs and len(outstanding) < 2 * workers:
            outstanding.append(celery_app.evaluate.delay(draw(source)))
            sent += 1
        outstanding.popleft().get()
        counter.add()


def dask(workers, jobs, folder, counter):
    """Two jobs a worker are outstanding."""
    import random

    from distributed import Client, LocalCluster, as_completed

    def evaluate(config):
        return config["a"]

    source = random.Random(1)
    cluster = LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, local_directory=folder,
        silence_logs=logging.ERROR,
    )
    client = Client(cluster)
    client.wait_for_workers(workers)
    sent = min(jobs, 2 * workers)
    ended = as_completed(client.submit(evaluate, draw(source), pure=False) for _ in range(sent))
    for future in ended:
        future.result()
        counter.add()
        if sent < jobs:
            sent += 1
            ended.add(client.submit(evaluate, draw(source), pure=False))


SYSTEMS = {
    "hpbandster": hpbandster,
    "ultraopt": ultraopt,
    "celery": celery,
    "dask": dask,
    "optuna-sqlite": optuna_sqlite,
    "optuna-journal": optuna_journal,
}

if __name__ == "__main__":
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        SYSTEMS[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]), scratch, Counter(int(sys.argv[3])))
        sys.stdin.read()
    os._exit(0)  # their threads need not end
