/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `limit` of rules: repeats of one alert are told up to a burst and counted from there on. One token
 * bucket for each rule and each set of values of the fields it names. What is held back is told by a
 * summary when `every` has gone by since the first of it, when its process ends, when its bucket has
 * to make room, and whenever the owner asks: told + summed up = raised, to the alert.
 *
 * The act itself was judged by the agent long before: a limit makes nothing weaker.
 */
#ifndef LIB_LIMIT_H
#define LIB_LIMIT_H

#include "report.h"

#define LIMIT_BUCKETS_MAX 8192  /* the one idle for longest makes room */
#define LIMIT_KEY_MAX 32768     /* bytes of values that tell buckets apart; the rest is cut */
#define LIMIT_VALUE_MAX 120     /* bytes of each value that a summary shows */

struct limits;

/* NULL: no memory. */
struct limits *limits_new(void);
void limits_free(struct limits *limits);

/* Told of what was held back. */
typedef void limits_tell_fn(void *data, const struct report_summary *summary);

/* May this alert be told? Every rule in it that alerts or refuses has a limit and none has a token left:
 * no; then it is counted. @now_ns is CLOCK_MONOTONIC. @tell hears of a bucket that made room. */
bool limits_take(struct limits *limits, const struct report *report, uint64_t now_ns,
		 limits_tell_fn *tell, void *data);

/* Tells what was held back for as long as the rule says. */
void limits_sweep(struct limits *limits, uint64_t now_ns, limits_tell_fn *tell, void *data);
/* Tells all that was held back: of one process, or (NULL) of all. */
void limits_flush(struct limits *limits, const struct process *process, limits_tell_fn *tell,
		  void *data);

/* Buckets that made room while others were in use. */
uint64_t limits_evicted(const struct limits *limits);

#endif
