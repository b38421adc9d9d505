/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the paths of an event lead: file.real and file.real_target. As the kernel would go it, in the calling thread:
 * from the directory that a descriptor stands for or from the working directory, along the links, out of
 * /proc/self/root. Where an act is about a link itself (os.remove, os.rename), the last part is not followed. What
 * is not there yet is taken by its text. Nothing is changed, nothing opened, but where the working directory
 * lies too deep to have a name.
 *
 * It is what the path leads to now: who may change the directories on the way can change it before the act.
 * libc only: system calls and memory of the stack and the event's scratch.
 */
#ifndef AGENT_REAL_H
#define AGENT_REAL_H

#include "event.h"

/* The kernel's own limits of a path and of the links on its way. */
#define REAL_PATH_MAX 4096
#define REAL_LINKS_MAX 40

/* Fills in real and real_target, absent where there is no path or where it leads nowhere. Callback of the event. */
void real_resolve(struct pyaudit_event *event);

#endif
