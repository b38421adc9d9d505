/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One act, two layers: an audit event that leads to a libc call announces that call, in its thread,
 * for a short time. The libc layer then knows that the act was told of, and which code asked for
 * it: its own look at the interpreter comes too late, without the GIL or between fork and exec.
 *
 * An act may also be two audit events: subprocess.Popen is followed by os.posix_spawn or (3.14 and
 * later) _posixsubprocess.fork_exec, and pty.spawn, in a child, by os.exec. Alerts are then the first one's.
 */
#ifndef AGENT_ANNOUNCE_H
#define AGENT_ANNOUNCE_H

#include "event.h"
#include "verdict.h"

/* How long an audit event stands for the libc call that carries it out. */
#define ANNOUNCED_MS 2000
/* Acts that threads of one process may be about to do at a time, with their stacks kept. */
#define ANNOUNCED_STACKS 256
/* Text of one stack: files, functions, modules; what is beyond it is cut. */
#define ANNOUNCED_TEXT_MAX 5120

struct announced;

/* Where it is to stand: zeroed memory of as many bytes as this says, aligned to 64. NULL only asks how many. */
size_t announce_use(void *room);

/* The audit layer let @event pass with @verdict, by the policy of @generation, in this thread @tid. */
void announce(struct pyaudit_event *event, const struct pyaudit_verdict *verdict, uint64_t generation, uint32_t tid,
	      bool packages);
/* The first audit event of the act of which @event is the second, or NULL: the same program with the same words, raised
 * within the call that raised the first. The third is an act of its own again. */
struct announced *announced_second(struct pyaudit_event *event);
/* What was said of it, by the policy of @generation; NULL: by another one. */
const struct pyaudit_verdict *announced_verdict(const struct announced *announced, uint64_t generation);
/* What was announced in this thread and @event carries out, or NULL. */
struct announced *announced_find(struct pyaudit_event *event);
uint8_t announced_action(const struct announced *announced);
/* Fills the frames of @event from it. */
void announced_origin(const struct announced *announced, struct pyaudit_event *event);
/* The act has come to the kernel: what follows is another one. */
void announced_done(struct announced *announced);

#endif
