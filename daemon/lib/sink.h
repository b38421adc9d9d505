/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What takes lines away from the daemon and may be slow: files, the journal. Each sink has a
 * bounded queue and a thread of its own, so that neither the loop nor another sink waits for it.
 * The loop fills one buffer while the thread empties the other; they are exchanged under a lock
 * that is never held during I/O.
 *
 * A sink that fails is tried again, and what comes meanwhile goes into its spool on disk (spool.h), if it
 * has one: everything that was pushed is written in its order, first what stands in the spool. A spool
 * that is full, or whose disk is, leaves items in the queue.
 *
 * A queue that is full drops and counts by weight, that is by the events that an item stands for,
 * so that what is missing can be told to the event. The last quarter of queue and spool is kept for
 * urgent items: alerts and losses.
 */
#ifndef LIB_SINK_H
#define LIB_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "log.h"

#define SINK_QUEUE_MIN 65536
#define SINK_BATCH 256 /* items in one call of write */
#define SINK_RETRY_MS 500
#define SINK_STANDS_MS 2000 /* without an item written or spooled, of those queued */
#define SINK_SPOOL_DIR "spool" /* in the directory for what outlives the daemon */

struct sink_ops {
	const char *name; /* "ndjson", "journal" */
	/* Takes items in order; returns how many it took whole (at least 1), or a negative errno
	 * where it took none; -EBADMSG: the first one can never be taken. What it has taken a part of, it
	 * is given again first. Runs on the thread; should not wait for long. */
	int (*write)(void *data, const struct iovec *items, size_t n_items);
	/* The thread has nothing more to do for now. May be NULL. */
	void (*close)(void *data);
};

struct sink;

struct sink_options {
	size_t queue_size; /* bytes */
	int notify_fd;     /* an eventfd, borrowed: gets 1 each time the queue runs empty; or -1 */
	const char *spool_dir; /* NULL: no spool */
	uint64_t spool_size;
	struct log *log;
};

/* Starts the thread. 0 or a negative errno. On success the sink owns @data. */
int sink_new(struct sink **ret, const struct sink_ops *ops, void *data,
	     const struct sink_options *options);

/* Ends it: writes what is queued within @timeout_ms, leaves what stands in the spool to the next
 * daemon, counts the rest as lost and logs it. */
void sink_free(struct sink *sink, unsigned timeout_ms);

const char *sink_name(const struct sink *sink);

/* Copies an item into the queue. False: dropped, and @weight counted. */
bool sink_push(struct sink *sink, const void *item, size_t size, uint64_t weight, bool urgent);

/* Wakes the thread where something is queued: once after a batch of pushes. */
void sink_kick(struct sink *sink);

/* Waits until the queue is not more than half full, or @timeout_ms have passed: only when the
 * daemon ends and nobody else is kept waiting. */
void sink_await_room(struct sink *sink, unsigned timeout_ms);

/* Bytes that items which are not urgent may take now. */
size_t sink_room(struct sink *sink);

/* A point in the queue, and whether all before it was written (or lost). */
uint64_t sink_mark(struct sink *sink);
bool sink_reached(struct sink *sink, uint64_t mark);
/* The same, or it stands in the spool: a daemon that is killed now has not lost it. */
bool sink_is_safe(struct sink *sink, uint64_t mark);
/* Something is queued, and for SINK_STANDS_MS neither written nor spooled: not slow, but at a stand.
 * @now_ns: CLOCK_MONOTONIC. */
bool sink_stands(struct sink *sink, uint64_t now_ns);

/* Whether the queue has room again to tell of losses; then takes their number. */
uint64_t sink_take_lost(struct sink *sink);

struct sink_state {
	uint64_t n_queued, n_spooled; /* items */
	uint64_t spooled_bytes;
	uint64_t n_lost; /* by weight, since the start */
	bool is_failing;
};
struct sink_state sink_state(struct sink *sink);

/* sink_ndjson.c: appends lines to a file ("-": standard output; /dev/fd/N: that descriptor). */
int sink_ndjson_new(struct sink **ret, const char *path, const struct sink_options *options);

/* sink_metrics.c: a file that holds the newest item. */
int sink_metrics_new(struct sink **ret, const char *path, const struct sink_options *options);

/* sink_journal.c, or its stub: -EOPNOTSUPP where the daemon was built without, -ENOENT where no
 * journal listens. */
struct report;
struct buf;
int sink_journal_new(struct sink **ret, const struct sink_options *options);
/* The entry's fields, each after its length in 32 bits; within the limits of entry.h. */
void sink_journal_fields(const struct report *report, struct buf *out);
void sink_journal_push(struct sink *sink, const struct report *report, uint64_t weight);

#endif
