/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.h: images that are built from a directory and handed from a master's machine to workers.
 *
 * Such an image is called "hyperdock-build:HASH", by the content of its directory, so that whoever
 * reads the same experiment means the same image. Whoever starts a run builds it with the engine of
 * that machine; a worker whose engine does not have it asks the master of its job for it.
 */
#ifndef HD_IMAGE_H
#define HD_IMAGE_H

#include <hd/experiment.h>
#include <hd/fact.h>
#include <hd/os.h>

#define HD_BUILD_ENTRIES_MAX 100000                            /* of a directory */
#define HD_BUILD_BYTES_MAX (UINT64_C(2) * 1024 * 1024 * 1024)  /* likewise, after .dockerignore */
#define HD_IMAGE_BYTES_MAX (UINT64_C(64) * 1024 * 1024 * 1024) /* of one that is handed over */

/* ret_name: HD_IMAGE_NAME_MAX bytes. */
void hd_image_built_name(uint64_t hash, char *ret_name);
/* The name of what this directory would be built into: over the names, modes and contents of all
 * that goes to the engine. ret_name: HD_IMAGE_NAME_MAX bytes. HD_E_NOTFOUND: no directory, no
 * Dockerfile; HD_E_LIMIT: too large. */
HD_NODISCARD enum hd_code hd_image_context_name(const char *directory, const char *dockerfile,
                                                char *ret_name, struct hd_err *err);
/* Builds the image of a target that is built (target->build not NULL), unless the engine has it.
 * `say`, which may be NULL, gets each line of the build. Blocks for as long as it takes. */
HD_NODISCARD enum hd_code hd_image_ensure(const struct hd_target *target,
                                          void (*say)(void *context, const char *line),
                                          void *context, struct hd_err *err);
/* Writes an image of the engine's into a file, which is there whole or not at all; ret_id:
 * HD_IMAGE_ID_MAX bytes. HD_E_NOTFOUND: it does not have it. `interrupted` may be NULL. */
HD_NODISCARD enum hd_code hd_image_save(const char *image, const char *path, char *ret_id,
                                        bool (*interrupted)(void *context), void *context,
                                        struct hd_err *err);

/* Where a worker gets an image that a master hands over. Called from threads of the engine. */
struct hd_image_source {
    /* Into the file `path`, going on with what it holds from before. `tell` hears how far it is, in
     * percent. ret_id: what the master says its id is. HD_E_CANCELLED: interrupted. */
    enum hd_code (*fetch)(void *context, const char *address, const char *run_id, const char *image,
                          const char *path, char *ret_id, bool (*interrupted)(void *watch),
                          void (*tell)(void *watch, int percent), void *watch, struct hd_err *err);
    void *context;
};

#endif
