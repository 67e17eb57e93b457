/* SPDX-License-Identifier: Apache-2.0 */
/* docker_advice.c: what can be done about what an engine refuses. Pure; see docker_json.h. */
#include "docker_json.h"

#include <string.h>

/* In this order: a text may hold words of several rows. The engine's words differ from version to
 * version, what they are about does not. */
const char *hd_docker_advice(const char *text)
{
    static const struct {
        const char *parts[3]; /* all of them; NULL: no further one */
        const char *advice;
    } rows[] = {
        {{"no space left on device"}, "make room on the disk where this engine keeps its data"},
        {{"disk quota exceeded"}, "make room on the disk where this engine keeps its data"},
        {{"no command specified"}, "the image has no entry point: give target.command"},
        {{"exec format error"},
         "the program is for another kind of processor, or a script without its #! line"},
        {{"exec", "permission denied"},
         "it is no program that may be executed: check target.command, or chmod +x it in the "
         "image"},
        {{"executable file not found"},
         "the image holds no such program: check target.command, and note that not every image "
         "has a shell"},
        {{"exec", "no such file or directory"},
         "the image holds no such program: check target.command, and note that not every image "
         "has a shell"},
        {{"unable to find user"},
         "target.container.user names nobody of the image's /etc/passwd; a number always works"},
        {{"unable to find group"},
         "target.container.user names no group of the image's /etc/group; a number always works"},
        {{"unknown runtime"},
         "install that runtime for this engine, or leave target.container.runtime out"},
        {{"unknown or invalid runtime"},
         "install that runtime for this engine, or leave target.container.runtime out"},
        {{"could not select device driver"},
         "this engine cannot hand out GPUs: install the NVIDIA container toolkit, or start the "
         "worker with --gpus none"},
        {{"port is already allocated"}, "another container or program on this machine has it"},
        {{"address already in use"}, "another container or program on this machine has it"},
        {{"network", "not found"},
         "target.networks or target.container.network names a network that this engine does not "
         "have"},
        {{"bind source path does not exist"},
         "it must exist on the machine where the engine runs; if the worker runs in a container, "
         "under the same path there"},
        {{"not a directory"}, "a file is mounted where a directory is, or the other way round"},
        {{"minimum memory"}, "raise target.resources.memory"},
        {{"range of cpus"}, "lower target.resources.cpus, or use a larger machine"},
        {{"sethostname"}, "the host name is too long"},
        {{"container-init"}, "install docker-init (the package tini) on the engine's machine"},
        {{"docker-init"}, "install docker-init (the package tini) on the engine's machine"},
        {{"cannot allocate memory"}, "the engine's machine is short of memory"},
        {{"too many open files"}, "raise the engine's limit of open files"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        bool all = true;
        for (size_t k = 0; k < HD_COUNT(rows[i].parts) && rows[i].parts[k] != NULL; k++)
            all = all && strcasestr(text, rows[i].parts[k]) != NULL;
        if (all)
            return rows[i].advice;
    }
    return NULL;
}
