/* SPDX-License-Identifier: Apache-2.0 */
/* answer.h: what an S3-compatible store answers: small XML texts and status codes. Pure. */
#ifndef HD_ARTIFACTS_ANSWER_H
#define HD_ARTIFACTS_ANSWER_H

#include <hd/base.h>

#define HD_S3_ANSWER_MAX 65536u /* bytes of an answer that is no object */

/* The text between <name> and </name>, the first one, its five entities resolved; false when there
 * is none, or it does not fit. */
bool hd_s3_element(const char *xml, size_t size, const char *name, char *ret_text, size_t ret_size);
/* The next <Upload> of a list of uploads with its key and its id, and *xml and *size behind it;
 * false: there is none that is whole and fits. */
bool hd_s3_next_upload(const char **xml, size_t *size, char *ret_key, size_t key_size,
                       char *ret_upload, size_t upload_size);
/*
 * What a status and the text of the answer mean, in the codes of hd/artifacts.h. HD_OK only for 2xx
 * without an <Error>: a store may find out after it has said 200. `what` begins the message.
 */
enum hd_code hd_s3_judge(int status, const char *xml, size_t size, const char *what,
                         struct hd_err *err);

/* A relative path without empty components, "." and "..", shorter than HD_ARTIFACT_PATH_MAX. */
bool hd_artifact_path_is_inner(const char *path);

#endif
