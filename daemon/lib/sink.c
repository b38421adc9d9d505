/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Head of an item in a queue; its bytes follow, rounded up to 8. */
struct item {
	uint64_t weight;
	uint64_t size;
};

struct half {
	uint8_t *bytes;
	size_t len;
	uint64_t weight;
};

struct sink {
	const struct sink_ops *ops;
	void *data;
	struct log *log;
	int notify_fd;
	size_t size; /* of each half */
	pthread_t thread;

	pthread_mutex_t lock; /* everything below but `back`, which is the thread's */
	pthread_cond_t wake, ending;
	struct half front;
	bool waiting, stopping, ended;
	struct timespec deadline; /* when stopping; CLOCK_MONOTONIC */
	uint64_t n_pushed, n_done; /* items */
	uint64_t lost;             /* by weight, not taken yet */
	struct half back;
};

static size_t
item_room(size_t size)
{
	return sizeof(struct item) + ((size + 7) & ~(size_t)7);
}

static struct timespec
after_ms(unsigned ms)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

static bool
is_past(const struct timespec *t)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > t->tv_sec || (now.tv_sec == t->tv_sec && now.tv_nsec >= t->tv_nsec);
}

static void
count_done(struct sink *sink, uint64_t n_items, uint64_t lost)
{
	(void)pthread_mutex_lock(&sink->lock);
	sink->n_done += n_items;
	sink->lost += lost;
	(void)pthread_mutex_unlock(&sink->lock);
}

/* Waits before the next try. True: time is up, give the rest up. */
static bool
wait_to_retry(struct sink *sink)
{
	struct timespec until = after_ms(SINK_RETRY_MS);
	bool give_up;

	(void)pthread_mutex_lock(&sink->lock);
	if (!sink->stopping)
		(void)pthread_cond_timedwait(&sink->wake, &sink->lock, &until);
	give_up = sink->stopping && is_past(&sink->deadline);
	if (sink->stopping && !give_up) {
		(void)pthread_mutex_unlock(&sink->lock);
		(void)usleep(20000);
		return false;
	}
	(void)pthread_mutex_unlock(&sink->lock);
	return give_up;
}

static size_t
gather(const struct half *half, size_t at, struct iovec *iov, uint64_t *weights)
{
	size_t n = 0;

	while (n < SINK_BATCH && at < half->len) {
		struct item item;

		memcpy(&item, half->bytes + at, sizeof(item));
		iov[n].iov_base = half->bytes + at + sizeof(item);
		iov[n].iov_len = item.size;
		weights[n++] = item.weight;
		at += item_room(item.size);
	}
	return n;
}

/* Writes out the thread's half. */
static void
write_back(struct sink *sink)
{
	struct iovec iov[SINK_BATCH];
	uint64_t weights[SINK_BATCH];
	bool failing = false;
	size_t at = 0;

	while (at < sink->back.len) {
		size_t n = gather(&sink->back, at, iov, weights);
		int r = sink->ops->write(sink->data, iov, n);
		uint64_t lost = 0;

		if (r == -EBADMSG) {
			log_warning(sink->log, "%s: an event cannot be written", sink->ops->name);
			lost = weights[0];
			r = 1;
		} else if (r <= 0) {
			if (!failing)
				log_error(sink->log, "%s: cannot write: %s; trying again",
					  sink->ops->name, strerror(-r));
			failing = true;
			if (!wait_to_retry(sink))
				continue;
			for (r = 0; (size_t)r < n; r++)
				lost += weights[r];
		} else if (failing) {
			log_notice(sink->log, "%s: writing again", sink->ops->name);
			failing = false;
		}
		assert((size_t)r <= n);
		for (int i = 0; i < r; i++)
			at += item_room(iov[i].iov_len);
		count_done(sink, (uint64_t)r, lost);
	}
	sink->back.len = 0;
}

static void *
sink_thread(void *data)
{
	struct sink *sink = data;
	uint64_t one = 1;
	bool stop;

	(void)pthread_mutex_lock(&sink->lock);
	for (;;) {
		struct half half;

		while (sink->front.len == 0 && !sink->stopping) {
			sink->waiting = true;
			(void)pthread_cond_wait(&sink->wake, &sink->lock);
			sink->waiting = false;
		}
		if (sink->front.len == 0)
			break;
		half = sink->back;
		sink->back = sink->front;
		sink->front = half;
		(void)pthread_mutex_unlock(&sink->lock);
		write_back(sink);
		(void)pthread_mutex_lock(&sink->lock);
		stop = sink->front.len == 0;
		if (stop && sink->notify_fd >= 0 &&
		    write(sink->notify_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
			log_error(sink->log, "eventfd: %s", strerror(errno));
	}
	sink->ended = true;
	(void)pthread_cond_signal(&sink->ending);
	(void)pthread_mutex_unlock(&sink->lock);
	return NULL;
}

static void
sink_destroy(struct sink *sink)
{
	if (sink->ops->close != NULL)
		sink->ops->close(sink->data);
	(void)pthread_cond_destroy(&sink->wake);
	(void)pthread_cond_destroy(&sink->ending);
	(void)pthread_mutex_destroy(&sink->lock);
	free(sink->front.bytes);
	free(sink->back.bytes);
	free(sink);
}

int
sink_new(struct sink **ret, const struct sink_ops *ops, void *data, size_t queue_size,
	 int notify_fd, struct log *log)
{
	struct sink *sink = calloc(1, sizeof(*sink));
	pthread_condattr_t attr;
	int r;

	if (sink == NULL)
		return -ENOMEM;
	sink->ops = ops;
	sink->data = data;
	sink->log = log;
	sink->notify_fd = notify_fd;
	sink->size = queue_size < SINK_QUEUE_MIN ? SINK_QUEUE_MIN : queue_size;
	sink->front.bytes = malloc(sink->size);
	sink->back.bytes = malloc(sink->size);
	(void)pthread_mutex_init(&sink->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&sink->wake, &attr);
	(void)pthread_cond_init(&sink->ending, &attr);
	(void)pthread_condattr_destroy(&attr);
	r = sink->front.bytes == NULL || sink->back.bytes == NULL
		    ? ENOMEM
		    : pthread_create(&sink->thread, NULL, sink_thread, sink);
	if (r != 0) {
		static const struct sink_ops keep = {0};

		sink->ops = &keep; /* @data stays the caller's */
		sink_destroy(sink);
		return -r;
	}
	*ret = sink;
	return 0;
}

void
sink_free(struct sink *sink, unsigned timeout_ms)
{
	struct timespec grace = after_ms(timeout_ms + 1000);
	uint64_t lost;
	bool ended;

	if (sink == NULL)
		return;
	(void)pthread_mutex_lock(&sink->lock);
	sink->stopping = true;
	sink->deadline = after_ms(timeout_ms);
	(void)pthread_cond_signal(&sink->wake);
	while (!sink->ended &&
	       pthread_cond_timedwait(&sink->ending, &sink->lock, &grace) != ETIMEDOUT)
		;
	ended = sink->ended;
	lost = sink->lost;
	(void)pthread_mutex_unlock(&sink->lock);
	if (!ended) { /* stuck in a write; it ends with us */
		log_error(sink->log, "%s: does not end, left behind", sink->ops->name);
		return;
	}
	(void)pthread_join(sink->thread, NULL);
	if (lost > 0)
		log_error(sink->log, "%s: %llu events were not written", sink->ops->name,
			  (unsigned long long)lost);
	sink_destroy(sink);
}

const char *
sink_name(const struct sink *sink)
{
	return sink->ops->name;
}

bool
sink_push(struct sink *sink, const void *item, size_t size, uint64_t weight, bool urgent)
{
	struct item head = {.weight = weight, .size = size};
	size_t room = item_room(size);
	size_t limit = urgent ? sink->size : sink->size / 4 * 3;
	bool ok;

	(void)pthread_mutex_lock(&sink->lock);
	ok = sink->front.len + room <= limit;
	if (ok) {
		memcpy(sink->front.bytes + sink->front.len, &head, sizeof(head));
		memcpy(sink->front.bytes + sink->front.len + sizeof(head), item, size);
		sink->front.len += room;
		sink->n_pushed++;
	} else {
		sink->lost += weight;
	}
	(void)pthread_mutex_unlock(&sink->lock);
	return ok;
}

void
sink_kick(struct sink *sink)
{
	(void)pthread_mutex_lock(&sink->lock);
	if (sink->waiting && sink->front.len > 0)
		(void)pthread_cond_signal(&sink->wake);
	(void)pthread_mutex_unlock(&sink->lock);
}

void
sink_await_room(struct sink *sink, unsigned timeout_ms)
{
	struct timespec until = after_ms(timeout_ms);
	bool full;

	do {
		(void)pthread_mutex_lock(&sink->lock);
		full = sink->front.len > sink->size / 2;
		if (sink->waiting)
			(void)pthread_cond_signal(&sink->wake);
		(void)pthread_mutex_unlock(&sink->lock);
	} while (full && !is_past(&until) && usleep(500) == 0);
}

size_t
sink_room(struct sink *sink)
{
	size_t room = sink->size / 4 * 3;

	(void)pthread_mutex_lock(&sink->lock);
	room = sink->front.len < room ? room - sink->front.len : 0;
	(void)pthread_mutex_unlock(&sink->lock);
	return room;
}

uint64_t
sink_mark(struct sink *sink)
{
	uint64_t mark;

	(void)pthread_mutex_lock(&sink->lock);
	mark = sink->n_pushed;
	(void)pthread_mutex_unlock(&sink->lock);
	return mark;
}

bool
sink_reached(struct sink *sink, uint64_t mark)
{
	bool reached;

	(void)pthread_mutex_lock(&sink->lock);
	reached = sink->n_done >= mark;
	(void)pthread_mutex_unlock(&sink->lock);
	return reached;
}

uint64_t
sink_take_lost(struct sink *sink)
{
	uint64_t lost = 0;

	(void)pthread_mutex_lock(&sink->lock);
	if (sink->front.len < sink->size / 2) {
		lost = sink->lost;
		sink->lost = 0;
	}
	(void)pthread_mutex_unlock(&sink->lock);
	return lost;
}
