/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include "gpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct hd_err err;
static struct hd_gpus gpus;

static void assert_names(const char *expected)
{
    char text[1024] = "";
    for (uint32_t i = 0; i < gpus.count; i++)
        assert_true(hd_format(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
                              i > 0 ? "," : "", gpus.gpus[i].uuid));
    assert_string_equal(text, expected);
}

/* A GPU that is cut into parts counts by its parts; what says no UUID is passed over. */
static void test_lists(void **state)
{
    (void)state;
    static const struct {
        const char *text, *names;
    } rows[] = {
        {"", ""},
        {"No devices were found\n", ""},
        {"GPU 0: NVIDIA A100 (UUID: GPU-5d5b-a1)\nGPU 1: NVIDIA A100 (UUID: GPU-6e6c-b2)",
         "GPU-5d5b-a1,GPU-6e6c-b2"},
        {"GPU 0: A100 (UUID: GPU-1)\n  MIG 1g.5gb Device 0: (UUID: MIG-a)\n"
         "  MIG 1g.5gb Device 1: (UUID: MIG-b)\nGPU 1: A100 (UUID: GPU-2)\n",
         "MIG-a,MIG-b,GPU-2"},
        {"GPU 0: x (UUID: GPU-1)\nGPU 0: x (UUID: GPU-1)\n", "GPU-1"},
        {"GPU 0: x (UUID: GPU-1\nGPU 1: x (UUID: 7)\nGPU 2: x (UUID: GPU-a,b)\n", ""},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        assert_hd_ok(hd_gpus_parse_list(rows[i].text, strlen(rows[i].text), &gpus, &err));
        assert_names(rows[i].names);
    }
    char *many = calloc(1, 64 * (HD_GPUS_MAX + 1));
    for (int i = 0; i <= HD_GPUS_MAX; i++)
        assert_true(hd_format(many + strlen(many), 64, "GPU %d: x (UUID: GPU-%d)\n", i, i));
    assert_hd_fails(hd_gpus_parse_list(many, strlen(many), &gpus, &err), HD_E_LIMIT,
                    "more than 64 GPUs");
    free(many);
}

static void test_names(void **state)
{
    (void)state;
    assert_hd_ok(hd_gpus_parse_names("GPU-1,MIG-2", &gpus, &err));
    assert_names("GPU-1,MIG-2");
    static const char *const bad[] = {"", "0", "0,1", "GPU-1,", "all", "GPU-", "GPU-1 "};
    for (size_t i = 0; i < HD_COUNT(bad); i++)
        assert_hd_fails(hd_gpus_parse_names(bad[i], &gpus, &err), HD_E_INVALID,
                        "is no UUID of a GPU: nvidia-smi -L shows them");
    assert_hd_fails(hd_gpus_parse_names("GPU-1,GPU-1", &gpus, &err), HD_E_INVALID,
                    "GPU-1 is named twice");
    assert_names("GPU-1,MIG-2");
    assert_hd_ok(hd_gpus_parse_names("GPU-1,GPU-2,GPU-3", &gpus, &err));
    hd_gpus_keep_part(&gpus, 1, 2);
    assert_names("GPU-2");
    hd_gpus_keep_part(&gpus, 1, 2);
    assert_names("");
}

static struct hd_attempt_ref job(uint32_t number)
{
    return (struct hd_attempt_ref){7, number, 1};
}

static void assert_taken(uint32_t number, int64_t count, const char *expected)
{
    char text[HD_GPU_TEXT_SIZE];
    assert_hd_ok(hd_gpus_take(&gpus, job(number), count, text, &err));
    assert_string_equal(text, expected);
}

/* No GPU is had twice, all or none are had, and what is given back is had again. */
static void test_leases(void **state)
{
    (void)state;
    char text[HD_GPU_TEXT_SIZE];
    assert_hd_ok(hd_gpus_parse_names("GPU-1,GPU-2,GPU-3", &gpus, &err));
    assert_int_equal(hd_gpus_total(&gpus), 3);
    assert_taken(1, 0, "");
    assert_taken(2, 1, "GPU-1");
    assert_hd_fails(hd_gpus_take(&gpus, job(3), 3, text, &err), HD_E_BUSY, "only 2 of 3 are free");
    assert_taken(4, 2, "GPU-2,GPU-3");
    assert_hd_fails(hd_gpus_take(&gpus, job(5), 1, text, &err), HD_E_BUSY, "only 0 of 3");
    hd_gpus_release(&gpus, job(2));
    hd_gpus_release(&gpus, job(99));
    assert_taken(5, 1, "GPU-1");
    assert_hd_fails(hd_gpus_take(&gpus, job(6), 4, text, &err), HD_E_UNSUPPORTED,
                    "it needs 4 GPUs, this worker has 3");
}

/* Shared ones: those with the fewest jobs first, and none twice by one job. */
static void test_shared(void **state)
{
    (void)state;
    char text[HD_GPU_TEXT_SIZE];
    assert_hd_ok(hd_gpus_parse_names("GPU-1,GPU-2", &gpus, &err));
    gpus.share = 2;
    assert_int_equal(hd_gpus_total(&gpus), 4);
    assert_taken(1, 1, "GPU-1");
    assert_taken(2, 1, "GPU-2");
    assert_taken(3, 2, "GPU-1,GPU-2");
    assert_hd_fails(hd_gpus_take(&gpus, job(4), 1, text, &err), HD_E_BUSY, "only 0 of 2");
    hd_gpus_release(&gpus, job(2));
    assert_taken(4, 1, "GPU-2");
}

/* What an earlier process gave stays given, as far as it is still there. */
static void test_retaken(void **state)
{
    (void)state;
    assert_hd_ok(hd_gpus_parse_names("GPU-1,GPU-2", &gpus, &err));
    hd_gpus_retake(&gpus, job(1), "GPU-9,GPU-1");
    hd_gpus_retake(&gpus, job(2), "");
    assert_taken(3, 1, "GPU-2");
    hd_gpus_release(&gpus, job(1));
    assert_taken(4, 1, "GPU-1");
}

/* The program is asked by its name; without it, and when it fails, there are none. */
static void test_program(void **state)
{
    (void)state;
    char path[4096];
    char *dir = test_dir_make();
    assert_int_equal(setenv("PATH", dir, 1), 0);
    assert_hd_ok(hd_gpus_find(dir, &gpus, &err));
    assert_int_equal(gpus.count, 0);
    assert_true(hd_format(path, sizeof(path), "%s/nvidia-smi", dir));
    test_file_write(path, "#!/bin/sh\n[ \"$1\" = -L ] && echo 'GPU 0: fake (UUID: GPU-fake)'\n");
    assert_int_equal(chmod(path, 0755), 0);
    assert_hd_ok(hd_gpus_find(dir, &gpus, &err));
    assert_names("GPU-fake");
    test_file_write(path, "#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n");
    assert_hd_fails(hd_gpus_find(dir, &gpus, &err), HD_E_IO,
                    "nvidia-smi -L failed: NVIDIA-SMI has failed");
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_leases),  cmocka_unit_test(test_shared),
        cmocka_unit_test(test_retaken), cmocka_unit_test(test_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
