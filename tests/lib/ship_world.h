/* SPDX-License-Identifier: Apache-2.0 */
/* ship_world.h: what tests of artifacts have in common: a directory, a place that they are shipped
 * to, which is a directory too or a bucket of tests/lib/fake_s3.py, and a shipper that moves when
 * it is told to. Include testlib.h before it. */
#ifndef HD_TEST_SHIP_WORLD_H
#define HD_TEST_SHIP_WORLD_H

#include <hd/artifacts.h>

#define BIG_SIZE (2u * HD_ARTIFACT_PART_BYTES + 12345u)
/* What is shipped of `first` is below that, in the place and in the store's directory. */
#define BASE "demo.00000000000000ab/0-0-3/7-1/"
#define S3_OBJECTS "objects/bucket/some prefix/" BASE

extern struct hd_artifact_place ship_place;    /* a directory, until start_store() */
extern struct hd_artifact_access *ship_access; /* of the store; NULL before */
extern const struct hd_attempt_ref first;      /* its directory: root/demo/run/7-1 */

int ship_set_up(void **state);
int ship_tear_down(void **state);
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, ship_set_up, ship_tear_down)

/* Names are below the world's directory: the path stays until the eighth call from here. */
const char *in_dir(const char *name);
void make_dir(const char *name);
/* Written long enough ago to be left in peace. */
void write_old(const char *name, const void *bytes, size_t size);
void write_text(const char *name, const char *text);
char *make_big(void); /* BIG_SIZE bytes; free() them */
bool is_there(const char *name);
void assert_holds(const char *name, const void *bytes, size_t size);
void assert_text_in(const char *name, const char *part);
size_t count_in(const char *name, const char *part);

/* A bucket becomes the place. faults: lines as fake_s3.py reads them. */
void start_store(const char *session);
void set_faults(const char *lines);

struct hd_shipper *open_shipper(bool on, uint64_t bytes_max);
void begin(struct hd_shipper *shipper, struct hd_attempt_ref attempt, const char *run_dir,
           uint32_t keep, double budget);
/* Until nothing waits; a store that fails for good would make it endless. */
void ship_out(struct hd_shipper *shipper);
void ship_first(struct hd_shipper *shipper);

#endif
