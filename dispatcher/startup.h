/* SPDX-License-Identifier: Apache-2.0 */
/* startup.h: from the command line to the runs of a master. */
#ifndef HD_STARTUP_H
#define HD_STARTUP_H

#include <hd/driver.h>
#include <hd/warm_start.h>

struct hd_startup {
    const char *run_id;          /* NULL: the experiment's name */
    const char *experiment_file; /* NULL: image and space, or resume what the store holds */
    const char *space_file;      /* with overrides.image: a file that holds only a space */
    bool resume;                 /* resume or start */
    const struct hd_text_list *warm_start; /* sources of known results, for a new run; see
                                              warm_start.h */
    const char *store_path;                /* where the runs are */
    struct hd_experiment_overrides overrides;
};

/* Makes sure that the run exists and may go on: creates it, or resumes it after comparing what
 * the command line says with what the store holds (the difference is in the error's text).
 * ret_run_id: HD_ID_MAX + 1 bytes. */
HD_NODISCARD enum hd_code hd_startup_run(struct hd_driver *driver, const struct hd_startup *startup,
                                         char *ret_run_id, struct hd_err *err);

/* The id by which a master is known to nameservers, kept beside its store. Free with hd_free. */
HD_NODISCARD enum hd_code hd_startup_master_id(const char *store_path, char **ret_id,
                                               struct hd_err *err);

#endif
