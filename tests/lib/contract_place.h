/* SPDX-License-Identifier: Apache-2.0 */
/* contract_place.h: a work root in a directory of its own and an experiment, for tests of the files
 * between a worker and its targets. Include testlib.h before it. */
#ifndef HD_TEST_CONTRACT_PLACE_H
#define HD_TEST_CONTRACT_PLACE_H

#include "contract.h"

struct place {
    char *dir;
    struct hd_root root;
    struct hd_experiment *experiment;
};

int contract_place_set_up(void **state); /* a struct place */
int contract_place_tear_down(void **state);
#define WITH_PLACE(test)                                                                           \
    cmocka_unit_test_setup_teardown(test, contract_place_set_up, contract_place_tear_down)

/* Of a job of the place's experiment; its texts are literals. */
struct hd_lease lease_of(const struct place *place, uint32_t job, uint32_t attempt);
/* DIRECTORY/NAME, until the fourth call from here. */
const char *join(const char *directory, const char *name);

#endif
