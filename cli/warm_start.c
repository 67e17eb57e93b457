/* SPDX-License-Identifier: Apache-2.0 */
/* warm_start.c: what `hd run` and `hd submit` tell a new run of earlier ones. */
#include "act.h"

#include <hd/warm_start.h>

#include <stdio.h>

static enum hd_code read_source(void *context, const char *view, struct hd_value *arguments,
                                struct hd_value **ret_answer, struct hd_err *err)
{
    return cli_read(context, view, arguments, ret_answer, err);
}

enum hd_code cli_warm_start(const struct cli_common *where, const struct hd_text_list *sources,
                            const struct hd_experiment *experiment, struct hd_buf *known,
                            struct hd_err *err)
{
    char report[HD_KNOWN_REPORT_MAX];
    struct cli_source *source = NULL;
    if (sources->count == 0)
        return HD_OK;
    enum hd_code code = cli_open(where, &source, err);
    if (code == HD_E_NOTFOUND) /* nothing is there yet: files remain */
        code = HD_OK;
    if (code == HD_OK)
        code = hd_warm_start(sources->items, sources->count, experiment,
                             source != NULL ? read_source : NULL, source, known, report, err);
    if (code == HD_OK)
        fprintf(stderr, "warm start: %s\n", report);
    cli_close(source);
    return code;
}
