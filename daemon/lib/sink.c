/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "spool.h"

#define SINK_RETRY_LAST_MS 20 /* when the daemon ends */

/* Head of an item in a queue; its bytes follow, rounded up to 8. */
struct item {
	uint64_t weight;
	uint32_t size, urgent;
};

struct half {
	uint8_t *bytes;
	size_t len, at; /* at: what is before it was taken */
};

struct sink {
	const struct sink_ops *ops;
	void *data;
	struct log *log;
	int notify_fd;
	size_t size; /* of each half */
	char *spool_dir; /* or NULL */
	uint64_t spool_size;
	pthread_t thread;

	pthread_mutex_t lock; /* everything below but what is the thread's */
	pthread_cond_t wake, ending;
	struct half front;
	bool waiting, stopping, ended, failing;
	struct timespec deadline; /* when stopping; CLOCK_MONOTONIC */
	uint64_t n_pushed, n_kept; /* items; kept: written, lost, or in the spool */
	uint64_t n_spooled;        /* in the spool, of those */
	uint64_t n_in_spool, spool_bytes; /* those of earlier daemons included */
	uint64_t lost, n_lost;     /* by weight: not taken yet, since the start */
	uint64_t moved_ns;         /* when n_kept last grew, or n_pushed beyond it */

	/* The thread's own. */
	struct half back;
	struct spool *spool; /* or NULL */
	uint64_t n_inherited; /* items of earlier daemons in it, which are its first */
	struct timespec retry_at; /* while failing */
	bool spool_fails, said_half, said_urgent; /* in the log */
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

/* Whether @t comes before @other. */
static bool
is_before(const struct timespec *t, const struct timespec *other)
{
	return t->tv_sec < other->tv_sec ||
	       (t->tv_sec == other->tv_sec && t->tv_nsec < other->tv_nsec);
}

/* @n_items more are written, lost or spooled. Takes the state of the spool over for those who ask. */
static void
count_kept(struct sink *sink, uint64_t n_items, uint64_t lost)
{
	if (sink->spool != NULL)
		lost += spool_take_lost(sink->spool);
	(void)pthread_mutex_lock(&sink->lock);
	sink->n_kept += n_items;
	if (n_items > 0)
		sink->moved_ns = clock_ns(CLOCK_MONOTONIC);
	sink->lost += lost;
	sink->n_lost += lost;
	sink->n_in_spool = sink->spool != NULL ? spool_n_items(sink->spool) : 0;
	sink->spool_bytes = sink->spool != NULL ? spool_used(sink->spool) : 0;
	sink->n_spooled = sink->n_in_spool - sink->n_inherited;
	(void)pthread_mutex_unlock(&sink->lock);
}

/* The first @n items of the spool are gone. */
static void
forget_inherited(struct sink *sink, uint64_t n)
{
	sink->n_inherited -= n < sink->n_inherited ? n : sink->n_inherited;
}

static bool
has_spooled(const struct sink *sink)
{
	return sink->spool != NULL && spool_n_items(sink->spool) > 0;
}

static size_t
gather(const struct half *half, struct iovec iov[SINK_BATCH], struct item items[SINK_BATCH])
{
	size_t n = 0;

	for (size_t at = half->at; n < SINK_BATCH && at < half->len; n++) {
		memcpy(&items[n], half->bytes + at, sizeof(items[n]));
		iov[n].iov_base = half->bytes + at + sizeof(items[n]);
		iov[n].iov_len = items[n].size;
		at += item_room(items[n].size);
	}
	return n;
}

static void
take_from(struct half *half, const struct item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		half->at += item_room(items[i].size);
	if (half->at == half->len)
		half->at = half->len = 0;
}

/* Says once when a threshold is passed, and again after the spool was nearly empty. */
static void
watch_spool(struct sink *sink, bool full, int error)
{
	unsigned percent = spool_percent(sink->spool);

	if (percent < 25)
		sink->said_half = sink->said_urgent = false;
	if (percent >= 50 && !sink->said_half)
		log_warning(sink->log, "%s: the spool is half full", sink->ops->name);
	sink->said_half |= percent >= 50;
	if (full && !sink->said_urgent)
		log_error(sink->log,
			  "%s: the spool takes alerts and losses alone: other events are counted as lost",
			  sink->ops->name);
	sink->said_urgent |= full;
	if (error < 0 && !sink->spool_fails)
		log_error(sink->log, "%s: cannot write to the spool: %s", sink->ops->name,
			  strerror(-error));
	sink->spool_fails = error < 0;
}

/* Moves what the thread has in hand into the spool. What that is too full for and is not urgent is lost;
 * what its disk does not take stays. True: something was moved. */
static bool
spool_back(struct sink *sink)
{
	struct iovec iov[SINK_BATCH];
	struct item items[SINK_BATCH];
	uint64_t lost = 0;
	bool full = false;
	size_t n, i;
	int r = 0;

	n = gather(&sink->back, iov, items);
	for (i = 0; i < n; i++) {
		/* The first one may be written in part: what is behind it waits for it. */
		bool urgent = items[i].urgent != 0 || !has_spooled(sink);

		r = spool_add(sink->spool, iov[i].iov_base, iov[i].iov_len, items[i].weight, urgent);
		if (r < 0 || (r == SPOOL_E_FULL && urgent))
			break;
		full |= r == SPOOL_E_FULL;
		lost += r == SPOOL_E_FULL ? items[i].weight : 0;
	}
	take_from(&sink->back, items, i);
	watch_spool(sink, full, r);
	count_kept(sink, i, lost);
	return i > 0;
}

/* Where a sink fails all goes by way of its spool, and also afterwards what its queue has no room for
 * until the spool has been written. */
static void
keep_back(struct sink *sink)
{
	bool wanted;

	if (sink->spool == NULL)
		return;
	(void)pthread_mutex_lock(&sink->lock);
	wanted = sink->failing || (has_spooled(sink) && sink->front.len > sink->size / 2);
	(void)pthread_mutex_unlock(&sink->lock);
	while (wanted && sink->back.len > 0 && spool_back(sink))
		;
}

static void
note_failure(struct sink *sink, int error)
{
	bool stopping, before;

	(void)pthread_mutex_lock(&sink->lock);
	before = sink->failing;
	stopping = sink->stopping;
	sink->failing = true;
	(void)pthread_mutex_unlock(&sink->lock);
	sink->retry_at = after_ms(stopping ? SINK_RETRY_LAST_MS : SINK_RETRY_MS);
	if (!before)
		log_error(sink->log, "%s: cannot write: %s; trying again%s", sink->ops->name,
			  strerror(error), sink->spool != NULL ? ", and spooling meanwhile" : "");
}

static void
note_success(struct sink *sink)
{
	bool before;

	(void)pthread_mutex_lock(&sink->lock);
	before = sink->failing;
	sink->failing = false;
	(void)pthread_mutex_unlock(&sink->lock);
	if (before)
		log_notice(sink->log, "%s: writing again", sink->ops->name);
}

/* Tries a batch: of the spool before that in hand. */
static void
write_batch(struct sink *sink)
{
	struct iovec iov[SINK_BATCH];
	struct item items[SINK_BATCH];
	uint64_t weights[SINK_BATCH], lost = 0;
	bool spooled = has_spooled(sink);
	uint64_t before = spooled ? spool_n_items(sink->spool) : 0;
	size_t n;
	int r;

	n = spooled ? spool_gather(sink->spool, iov, weights) : gather(&sink->back, iov, items);
	if (spooled) /* files that could not be read are gone */
		forget_inherited(sink, before - spool_n_items(sink->spool));
	if (n == 0) {
		count_kept(sink, 0, 0);
		return;
	}
	r = sink->ops->write(sink->data, iov, n);
	if (r == -EBADMSG) {
		log_warning(sink->log, "%s: an event cannot be written", sink->ops->name);
		lost = spooled ? weights[0] : items[0].weight;
		r = 1;
	}
	if (r <= 0) {
		note_failure(sink, -r);
		return;
	}
	assert((size_t)r <= n);
	note_success(sink);
	if (spooled)
		spool_pop(sink->spool, (size_t)r);
	else
		take_from(&sink->back, items, (size_t)r);
	/* Items of the spool were counted as kept when they came into it. */
	if (spooled)
		forget_inherited(sink, (uint64_t)r);
	count_kept(sink, spooled ? 0 : (uint64_t)r, lost);
}

/* Under the lock: whether there is nothing to be done now. @failing: it is not time to try again. */
static bool
is_idle(const struct sink *sink, bool failing)
{
	if (!failing)
		return sink->front.len == 0 && sink->back.len == 0 && !has_spooled(sink);
	return sink->front.len == 0 || sink->back.len > 0 || sink->spool == NULL;
}

/* Under the lock: whether the thread is to end, with what cannot be written left in the spool. */
static bool
is_over(const struct sink *sink)
{
	bool kept = sink->front.len == 0 && sink->back.len == 0;

	return sink->stopping && (is_past(&sink->deadline) || (kept && sink->failing) ||
				  (kept && !has_spooled(sink)));
}

/* Waits for something to be done, and takes it in hand. False: nothing will be. */
static bool
next_work(struct sink *sink)
{
	bool failing, over;
	uint64_t one = 1;

	(void)pthread_mutex_lock(&sink->lock);
	while (failing = sink->failing && !is_past(&sink->retry_at), over = is_over(sink),
	       !over && is_idle(sink, failing)) {
		if (sink->notify_fd >= 0 && !failing &&
		    write(sink->notify_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
			log_error(sink->log, "eventfd: %s", strerror(errno));
		sink->waiting = true;
		if (!failing)
			(void)pthread_cond_wait(&sink->wake, &sink->lock);
		else
			(void)pthread_cond_timedwait(&sink->wake, &sink->lock,
						     sink->stopping && is_before(&sink->deadline, &sink->retry_at)
							     ? &sink->deadline
							     : &sink->retry_at);
		sink->waiting = false;
	}
	if (!over && sink->back.len == 0) {
		struct half half = sink->back;

		sink->back = sink->front;
		sink->front = half;
	}
	(void)pthread_mutex_unlock(&sink->lock);
	return !over;
}

/* The end: what is left goes into the spool, or is lost. */
static void
give_up(struct sink *sink)
{
	for (unsigned i = 0; i < 2; i++) {
		struct iovec iov[SINK_BATCH];
		struct item items[SINK_BATCH];
		struct half half;
		size_t n;

		while (sink->spool != NULL && sink->back.len > 0 && spool_back(sink))
			;
		while ((n = gather(&sink->back, iov, items)) > 0) {
			uint64_t lost = 0;

			for (size_t k = 0; k < n; k++)
				lost += items[k].weight;
			take_from(&sink->back, items, n);
			count_kept(sink, n, lost);
		}
		(void)pthread_mutex_lock(&sink->lock);
		half = sink->back;
		sink->back = sink->front;
		sink->front = half;
		(void)pthread_mutex_unlock(&sink->lock);
	}
}

static void
open_spool(struct sink *sink)
{
	int r;

	if (sink->spool_dir == NULL)
		return;
	r = spool_open(&sink->spool, sink->spool_dir, sink->ops->name, sink->spool_size, sink->log);
	if (r < 0)
		log_warning(sink->log, "%s: no spool in %s: %s", sink->ops->name, sink->spool_dir,
			    strerror(-r));
	else
		sink->n_inherited = spool_n_items(sink->spool);
	count_kept(sink, 0, 0);
}

static void *
sink_thread(void *data)
{
	struct sink *sink = data;
	sigset_t all;

	(void)sigfillset(&all); /* the loop's thread takes them */
	(void)pthread_sigmask(SIG_BLOCK, &all, NULL);
	open_spool(sink);
	while (next_work(sink)) {
		bool failing;

		keep_back(sink);
		(void)pthread_mutex_lock(&sink->lock);
		failing = sink->failing;
		(void)pthread_mutex_unlock(&sink->lock);
		if (!failing || is_past(&sink->retry_at))
			write_batch(sink);
	}
	give_up(sink);
	(void)pthread_mutex_lock(&sink->lock);
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
	spool_close(sink->spool);
	free(sink->spool_dir);
	free(sink->front.bytes);
	free(sink->back.bytes);
	free(sink);
}

int
sink_new(struct sink **ret, const struct sink_ops *ops, void *data,
	 const struct sink_options *options)
{
	struct sink *sink = calloc(1, sizeof(*sink));
	pthread_condattr_t attr;
	int r;

	if (sink == NULL)
		return -ENOMEM;
	sink->ops = ops;
	sink->data = data;
	sink->log = options->log;
	sink->notify_fd = options->notify_fd;
	sink->size = options->queue_size < SINK_QUEUE_MIN ? SINK_QUEUE_MIN : options->queue_size;
	sink->spool_size = options->spool_size;
	if (options->spool_dir != NULL)
		sink->spool_dir = strdup(options->spool_dir);
	sink->front.bytes = malloc(sink->size);
	sink->back.bytes = malloc(sink->size);
	(void)pthread_mutex_init(&sink->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&sink->wake, &attr);
	(void)pthread_cond_init(&sink->ending, &attr);
	(void)pthread_condattr_destroy(&attr);
	r = sink->front.bytes == NULL || sink->back.bytes == NULL ||
			    (options->spool_dir != NULL && sink->spool_dir == NULL)
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
	uint64_t lost, left;
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
	left = sink->n_in_spool;
	(void)pthread_mutex_unlock(&sink->lock);
	if (!ended) { /* stuck in a write; it ends with us */
		log_error(sink->log, "%s: does not end, left behind", sink->ops->name);
		return;
	}
	(void)pthread_join(sink->thread, NULL);
	if (lost > 0)
		log_error(sink->log, "%s: %llu events were not written", sink->ops->name,
			  (unsigned long long)lost);
	if (left > 0)
		log_notice(sink->log, "%s: %llu items in the spool are left to the next daemon",
			   sink->ops->name, (unsigned long long)left);
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
	struct item head = {.weight = weight, .size = (uint32_t)size, .urgent = urgent};
	size_t room = item_room(size);
	size_t limit = urgent ? sink->size : sink->size / 4 * 3;
	bool ok;

	(void)pthread_mutex_lock(&sink->lock);
	ok = sink->front.len + room <= limit;
	if (ok) {
		memcpy(sink->front.bytes + sink->front.len, &head, sizeof(head));
		memcpy(sink->front.bytes + sink->front.len + sizeof(head), item, size);
		sink->front.len += room;
		if (sink->n_pushed++ == sink->n_kept)
			sink->moved_ns = clock_ns(CLOCK_MONOTONIC);
	} else {
		sink->lost += weight;
		sink->n_lost += weight;
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
	reached = sink->n_kept - sink->n_spooled >= mark;
	(void)pthread_mutex_unlock(&sink->lock);
	return reached;
}

bool
sink_is_safe(struct sink *sink, uint64_t mark)
{
	bool safe;

	(void)pthread_mutex_lock(&sink->lock);
	safe = sink->n_kept >= mark;
	(void)pthread_mutex_unlock(&sink->lock);
	return safe;
}

bool
sink_stands(struct sink *sink, uint64_t now_ns)
{
	bool stands;

	(void)pthread_mutex_lock(&sink->lock);
	stands = sink->n_kept < sink->n_pushed &&
		 (int64_t)(now_ns - sink->moved_ns) >= SINK_STANDS_MS * INT64_C(1000000);
	(void)pthread_mutex_unlock(&sink->lock);
	return stands;
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

struct sink_state
sink_state(struct sink *sink)
{
	struct sink_state state;

	(void)pthread_mutex_lock(&sink->lock);
	state = (struct sink_state){
		.n_queued = sink->n_pushed - sink->n_kept,
		.n_spooled = sink->n_in_spool,
		.spooled_bytes = sink->spool_bytes,
		.n_lost = sink->n_lost,
		.is_failing = sink->failing,
	};
	(void)pthread_mutex_unlock(&sink->lock);
	return state;
}
