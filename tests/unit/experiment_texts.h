/* SPDX-License-Identifier: Apache-2.0 */
/* experiment_texts.h: what the tests of experiment files share. */
#ifndef TESTS_EXPERIMENT_TEXTS_H
#define TESTS_EXPERIMENT_TEXTS_H

#include "testlib.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hd/experiment.h>

#define SPACE "space: {x: {type: float, low: 0, high: 1}}\n"
#define LEAST "target: {image: a}\n" SPACE

static enum hd_code parse(const char *text, const struct hd_experiment_overrides *overrides,
                          struct hd_experiment **ret_experiment, struct hd_err *err)
{
    return hd_experiment_parse_text(text, strlen(text), "e.yaml", overrides, ret_experiment, err);
}

static struct hd_experiment *parse_good(const char *text)
{
    struct hd_err err;
    struct hd_experiment *experiment = NULL;
    assert_hd_ok(parse(text, NULL, &experiment, &err));
    return experiment;
}

static const char issue_text[] =
    "name: digits\n"
    "target:\n"
    "  image: hyperdock/digits:1\n"
    "  command: [./train, --lr, \"${params.learning_rate}\", --epochs, \"${budget}\", 3]\n"
    "  env: {OMP_NUM_THREADS: 1, FLAG: true, RUN: \"${run_id}\"}\n"
    "  data: ./some/data/\n"
    "  resources: {cpus: 1.5, memory: 512MiB, pids: 100, gpus: 2, shm: 1GiB, cpuset: '0-3,8',\n"
    "    ulimits: {nofile: 1024, core: '0:-1'}}\n"
    "  container: {user: '1:2', network: none, runtime: runc, read_only: true, tmpfs: "
    "['/tmp:size=1m'],\n"
    "    cap_add: [SYS_NICE], cap_drop: [ALL], privileged: true}\n"
    "  args: cli\n"
    "  contract: hyperdock\n"
    "  checkpoint: true\n"
    "  pull: always\n"
    "  strict: true\n"
    "  timeout: {base: 1m, per_budget: 20s}\n"
    "  stop_grace: 250ms\n"
    "  retries: {infra: 4, failed: 1}\n"
    "objective: {name: accuracy, direction: maximize, goal: 0.99}\n"
    "space:\n"
    "  learning_rate: {type: float, low: 1.0e-5, high: 1.0, log: true}\n"
    "  activation:    {type: categorical, choices: [relu, tanh]}\n"
    "  a_unit:        {type: int, low: 8, high: 256, log: true}\n"
    "sampler: {name: random}\n"
    "iteration_generator: {name: hyperband, eta: 3, rule: paper}\n"
    "budget: {min: 1, max: 27, unit: epochs}\n"
    "stop: {iterations: 4, configs: 300, jobs: 500, full_evaluations: 40, time: 1h, failures: 9}\n"
    "pause_after_failures: 0\n"
    "priority: -3\n"
    "seed: \"18446744073709551615\"\n"
    "job_queue_sizes: [-2, 1]\n"
    "dynamic_queue_size: true\n"
    "lease: 1m\n"
    "ping: 10s\n"
    "holder_wait: 1s\n";

#endif
