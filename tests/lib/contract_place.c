/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include "contract_place.h"

#include <stdlib.h>
#include <string.h>

static struct hd_err err;

static const char experiment_text[] =
    "name: t\n"
    "target:\n"
    "  command: [run, \"--lr=${params.lr}\", \"${budget}\", \"${work_dir}\", \"$$x\"]\n"
    "  env: {MODE: \"b${budget}\", HYPERDOCK_SEED: \"mine\"}\n"
    "  timeout: {base: 10s, per_budget: 1s}\n"
    "objective: {name: error, direction: maximize}\n"
    "space:\n"
    "  lr: {type: float, low: 0.0, high: 1.0}\n"
    "  act: {type: categorical, choices: [relu, tanh]}\n"
    "  weird-name: {type: int, low: 1, high: 9}\n"
    "budget: {min: 1, max: 9, unit: epochs}\n";

int contract_place_set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    char path[HD_PATH_MAX];
    place->dir = test_dir_make();
    assert_true(hd_format(path, sizeof(path), "%s/root", place->dir));
    assert_hd_ok(hd_root_open(path, &place->root, &err));
    assert_hd_ok(hd_experiment_parse_text(experiment_text, strlen(experiment_text), "t.yaml", NULL,
                                          &place->experiment, &err));
    *state = place;
    return 0;
}

int contract_place_tear_down(void **state)
{
    struct place *place = *state;
    hd_experiment_free(place->experiment);
    test_dir_remove(place->dir);
    free(place);
    return 0;
}

struct hd_lease lease_of(const struct place *place, uint32_t job, uint32_t attempt)
{
    (void)place;
    return (struct hd_lease){
        .attempt = {0xabcdef, job, attempt},
        .run_id = "t",
        .config_id = {0, 1, 2},
        .config = 5,
        .rung = 1,
        .budget = 3,
        .budget_previous = 1,
        .root = "",
        .directory = "",
        .directory_owner = "",
        .seed = 99,
        .params_json = "{\"lr\": 0.25, \"act\": \"tanh\", \"weird-name\": 3}",
    };
}

const char *join(const char *directory, const char *name)
{
    static char paths[4][HD_PATH_MAX];
    static size_t next;
    char *path = paths[next++ % 4];
    assert_true(hd_format(path, HD_PATH_MAX, "%s/%s", directory, name));
    return path;
}
