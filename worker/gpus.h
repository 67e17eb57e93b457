/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpus.h: the GPUs of a machine, known by their UUIDs, and which job has which. An index is not
 * used: it changes when a driver is loaded anew, and one that a container sees is another one.
 *
 * A GPU may be shared by several jobs (share); a job never has one twice.
 */
#ifndef HD_GPUS_H
#define HD_GPUS_H

#include <hd/message.h>

#define HD_GPUS_MAX 64                /* of a machine, parts of them (MIG) counted */
#define HD_GPU_UUID_SIZE 64           /* "GPU-8f6c5bd8-...", "MIG-...": terminated */
#define HD_GPU_SHARE_MAX 64           /* jobs on one GPU */
#define HD_GPU_LIST_BYTES_MAX 262144u /* of what nvidia-smi says */
#define HD_GPU_TEXT_SIZE (HD_GPUS_MAX * HD_GPU_UUID_SIZE) /* UUIDs with commas between */

struct hd_gpu {
    char uuid[HD_GPU_UUID_SIZE];
    struct hd_attempt_ref jobs[HD_GPU_SHARE_MAX];
    uint32_t job_count;
};

struct hd_gpus {
    struct hd_gpu gpus[HD_GPUS_MAX];
    uint32_t count;
    uint32_t share; /* jobs that one may have; at least 1 */
};

/* What `nvidia-smi -L` prints; of a GPU that is cut into parts only the parts count. HD_E_LIMIT:
 * too many; a line that is not about a GPU is passed over. */
HD_NODISCARD enum hd_code hd_gpus_parse_list(const char *text, size_t size,
                                             struct hd_gpus *ret_gpus, struct hd_err *err);
/* "GPU-1,GPU-2", as --gpus has it. HD_E_INVALID: no UUID, or one twice. */
HD_NODISCARD enum hd_code hd_gpus_parse_names(const char *names, struct hd_gpus *ret_gpus,
                                              struct hd_err *err);
#define HD_GPU_ASK_MS_MAX 30000 /* a driver in trouble hangs */
/* Runs `nvidia-smi -L`. A machine without that program has none: count 0. */
HD_NODISCARD enum hd_code hd_gpus_find(const char *scratch_dir, struct hd_gpus *ret_gpus,
                                       struct hd_err *err);

/* The part'th of so many equal parts, from 0 on: workers of one machine that do not share. */
void hd_gpus_keep_part(struct hd_gpus *gpus, uint32_t part, uint32_t parts);

/* GPUs times the jobs that one may have. */
uint32_t hd_gpus_total(const struct hd_gpus *gpus);
/* count different ones, those with the fewest jobs first. HD_E_BUSY: not so many are free;
 * HD_E_UNSUPPORTED: there never are. ret_text: HD_GPU_TEXT_SIZE bytes, UUIDs with commas. */
HD_NODISCARD enum hd_code hd_gpus_take(struct hd_gpus *gpus, struct hd_attempt_ref job,
                                       int64_t count, char *ret_text, struct hd_err *err);
/* Those that an earlier process gave to a job; what is not here any more is passed over. */
void hd_gpus_retake(struct hd_gpus *gpus, struct hd_attempt_ref job, const char *text);
void hd_gpus_release(struct hd_gpus *gpus, struct hd_attempt_ref job); /* also when it has none */

#endif
