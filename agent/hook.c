/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit hook. Runs inside the audited program, in the raising thread: takes no lock, waits for
 * nothing but what a rule's `ack` asks for, leaves errno and exceptions as found, but for the PermissionError of a denial.
 *
 * The way of an event nobody asks for is kept short: two words that tell of fork and of a newer
 * policy, one hash of the name, one look into the policy's table. So is that of an event that rules
 * are asked about and that concerns none of them: a glance at the argument that matters.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ack.h"
#include "announce.h"
#include "clock.h"
#include "context.h"
#include "encode.h"
#include "link.h"
#include "memo.h"
#include "origin.h"
#include "real.h"
#include "registration.h"
#include "search.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Events between two attempts to attach while there is no policy. */
#define COUNTDOWN 256
#define RETRY_MS 1000

/* Between two looks whether the daemon still drains, and while a lane runs full. */
#define LOOK_NS 100000000ull
#define LOOK_FULL_NS 20000000ull

/* Room for text that had to be copied, as two paths; the last part is kept for the origin. */
#define TEXT_ROOM (2 * PYAUDIT_TEXT_MAX + 1536)
#define TEXT_ROOM_ARGS (2 * PYAUDIT_TEXT_MAX + 512)

/* Events that are judged within the judging of another: a finaliser or a signal handler that the
 * interpreter runs in one of the calls made here. Deeper ones pass, and are counted. */
#define DEPTH_MAX 3

/* Longest event name in a message. */
#define MESSAGE_NAME_MAX 128

/* A short way that may be in vain (may_try). */
struct tries {
	uint32_t debt;	    /* tries that are not paid for yet */
	uint32_t n_untried; /* events, while there are too many of them */
};

struct thread {
	uint32_t epoch; /* of the process this tid was asked in; 0: not yet */
	uint32_t tid;
	uint32_t depth; /* of the event at hand, 0 outside */
	struct tries glances, known;
};

static _Thread_local struct thread thread;

static uint32_t
thread_id(void)
{
	if (thread.epoch != agent_life->epoch || thread.epoch == 0) {
		thread.tid = (uint32_t)syscall(SYS_gettid);
		thread.epoch = agent_life->epoch;
	}
	return thread.tid;
}

/* Called with agent_life->busy held by this thread. */
static void
attach_if_due(void)
{
	if (agent_life->epoch == 0) {
		agent_life->epoch = (uint32_t)getpid();
		link_forked();
		link_attach(PYAUDIT_REASON_FORK);
	}
	if (atomic_load(&agent.policy) == NULL)
		link_take_policy();
	if (atomic_load(&agent.policy) == NULL &&
	    clock_ms(CLOCK_MONOTONIC_COARSE) - atomic_load(&agent.last_try_ms) >= RETRY_MS)
		link_attach(PYAUDIT_REASON_START);
	if (atomic_load(&agent.policy) != NULL)
		atomic_store_explicit(&agent_life->attached, 1, memory_order_release);
}

/* Something about policy or link may have changed. Rare: start, fork, reload, no daemon. */
static __attribute__((noinline)) void
refresh(void)
{
	int saved_errno = errno;

	if (atomic_load(&agent_life->attached) == 0 && agent_life->epoch != 0 &&
	    agent_life->countdown > 0) {
		agent_life->countdown--;
		return;
	}
	if (thread.depth > 0 || atomic_flag_test_and_set(&agent_life->busy))
		return;
	if (atomic_load(&agent_life->attached) == 0) {
		agent_life->countdown = COUNTDOWN;
		attach_if_due();
	} else {
		link_take_policy();
	}
	atomic_flag_clear(&agent_life->busy);
	errno = saved_errno;
}

/* Bytes of @name that are shown: at most @max, and no half character. */
static int
shown_length(const char *name, size_t max)
{
	size_t len = strnlen(name, max + 1);

	if (len > max)
		for (len = max; len > 0 && ((unsigned char)name[len] & 0xc0) == 0x80;)
			len--;
	return (int)len;
}

static __attribute__((noinline, cold)) int
refuse(const void *image, unsigned rule, const char *name)
{
	char message[PYAUDIT_RULE_ID_MAX + MESSAGE_NAME_MAX + 64];
	PyObject *value;

	(void)snprintf(message, sizeof(message), "pyauditd: rule '%s' denied %.*s",
		       pyaudit_image_rule_id(image, rule), shown_length(name, MESSAGE_NAME_MAX),
		       name);
	/* PermissionError(EPERM, message), made by PyErr_SetObject from the pair. Where memory for
	 * it is short, the exception is a MemoryError and the act is refused all the same. */
	value = python.Py_BuildValue("(is)", EPERM, message);
	if (value != NULL) {
		python.PyErr_SetObject(*python.PyExc_PermissionError, value);
		python.Py_DecRef(value);
	}
	return -1;
}

/* A search goes on where there is no such program: the program hears what it would hear without us. It is
 * refused all the same, for the file may come to be there meanwhile. */
static __attribute__((noinline, cold)) int
refuse_missing(PyObject *args)
{
	/* os.execve says which file, os.execv, whose event has no environment, does not. */
	bool names_file = python.PyTuple_GetItem(args, 2) != python._Py_NoneStruct;
	PyObject *value = python.Py_BuildValue(names_file ? "(isO)" : "(is)", ENOENT, strerror(ENOENT),
					       python.PyTuple_GetItem(args, 0));

	if (value != NULL) {
		python.PyErr_SetObject(*python.PyExc_FileNotFoundError, value);
		python.Py_DecRef(value);
	}
	return -1;
}

/* What the callbacks of an event need. */
struct raised {
	PyObject *args;
	struct encode_values values;
	struct encode_text text;
	struct announced *announced; /* libc layer: the event that led to this call, or NULL */
};

static void
fetch_argument(struct pyaudit_event *event, unsigned n)
{
	struct raised *raised = event->data;

	encode_arg(&raised->values, raised->args, n);
}

static void
fetch_origin(struct pyaudit_event *event, unsigned n_wanted)
{
	struct raised *raised = event->data;

	raised->text.size = TEXT_ROOM;
	origin_walk(event, &raised->text, n_wanted);
}

/* Whether it still drains, at most once in @every_ns. */
static void
look_for_daemon(uint64_t time_ns, uint64_t every_ns)
{
	/* Unsigned: a wall clock that was set back looks like a long time, too. */
	uint64_t unseen_ns = time_ns - atomic_load_explicit(&agent.last_look_ns, memory_order_relaxed);

	if (UNLIKELY(unseen_ns > every_ns) && !atomic_flag_test_and_set(&agent_life->busy)) {
		link_look(time_ns);
		atomic_flag_clear(&agent_life->busy);
	}
}

/* Of a libc call: from what announced it, for the interpreter cannot be looked at everywhere; else from
 * the interpreter where this thread may look. */
static void
fetch_native_origin(struct pyaudit_event *event, unsigned n_wanted)
{
	struct raised *raised = event->data;

	if (raised->announced != NULL)
		announced_origin(raised->announced, event);
	else if ((uint32_t)getpid() == agent.pid && python_is_attached())
		fetch_origin(event, n_wanted);
}

static bool
wants_packages(const struct policy *policy)
{
	return (pyaudit_image_flags(policy->image) & PYAUDIT_IMAGE_PACKAGES) != 0;
}

/* Bytes that a record has of where a path leads. */
#define REAL_KEPT 512

/* What stood in the scratch, where the record is going to be written. */
static void
keep_real(struct pyaudit_value *real, char room[REAL_KEPT])
{
	if (!pyaudit_value_is_text(real))
		return;
	if (real->len > REAL_KEPT) {
		real->len = REAL_KEPT;
		real->flags = PYAUDIT_VALUE_CUT;
	}
	memcpy(room, real->s, real->len);
	real->s = room;
}

static void
wake_daemon(const struct ring_pushed *pushed, uint64_t time_ns)
{
	if (UNLIKELY(pushed->wake) && !atomic_flag_test_and_set(&agent_life->busy)) {
		link_wake();
		atomic_flag_clear(&agent_life->busy);
	}
	look_for_daemon(time_ns, pushed->half_full ? LOOK_FULL_NS : LOOK_NS);
}

static void
deliver(const struct policy *policy, struct pyaudit_event *event,
	const struct pyaudit_verdict *verdict, uint32_t pid, uint32_t tid,
	uint8_t record[PYAUDIT_RECORD_MAX])
{
	bool urgent = verdict->action >= PYAUDIT_ACTION_ALERT, is_put = false;
	enum pyaudit_lane lane = urgent ? PYAUDIT_LANE_URGENT : PYAUDIT_LANE_ORDINARY;
	struct pyaudit_ring *ring = agent.ring;
	struct ring_pushed pushed = {0};
	unsigned wait_ms;
	char real[2][REAL_KEPT];
	uint64_t time_ns = clock_ns(CLOCK_REALTIME);
	size_t size;

	for (unsigned i = 0; i < event->n_args; i++)
		pyaudit_event_need_arg(event, i);
	pyaudit_event_need_frames(event, urgent ? PYAUDIT_STACK_MAX : 1);
	pyaudit_event_need_lines(event);
	if (urgent && wants_packages(policy))
		for (unsigned i = 0; i < event->n_frames; i++)
			pyaudit_event_need_packages(event, i);
	if (UNLIKELY((pyaudit_image_flags(policy->image) & PYAUDIT_IMAGE_REAL) != 0)) {
		if (!event->real_asked)
			event->scratch_len = 0; /* what rules made there is of no use any more */
		pyaudit_event_need_real(event);
		keep_real(&event->real, real[0]);
		keep_real(&event->real_target, real[1]);
	}
	size = pyaudit_record_encode(record, event, verdict, policy->generation, time_ns, pid, tid);
	/* What came before an alert, or what the daemon may make one of, is the first to give way where room runs short. */
	if (UNLIKELY(urgent || verdict->is_counted) && policy->context > 0 &&
	    (ring == NULL || !ring_is_half_full(ring, lane)))
		size = context_add(record, size, policy->context, tid);
	if (LIKELY(ring != NULL)) {
		is_put = ring_push(ring, lane, record, size, tid, &pushed);
		if (verdict->action >= PYAUDIT_ACTION_BLOCK)
			atomic_fetch_add_explicit(&ring->n_denied, 1, memory_order_relaxed);
	} else if (!link_send_record(record, size)) {
		atomic_fetch_add_explicit(&agent.n_unsent, 1, memory_order_relaxed);
	}
	wait_ms = urgent && is_put ? ack_wanted(policy->image, verdict) : 0;
	if (pid == agent.pid) {
		pushed.wake |= wait_ms > 0; /* one that is awake hurries */
		wake_daemon(&pushed, time_ns);
	} else if (pushed.wake) {
		link_knock();
	}
	if (UNLIKELY(wait_ms > 0))
		ack_await(ring, pushed.index, wait_ms);
}

/* What `kill` means, once the record stands in the ring: no handler runs and nothing is written. */
static void
end_process(uint32_t pid)
{
	/* Between fork and exec, or in a vfork child, the program that acts is the one that forked. */
	if (pid != agent.pid && (uint32_t)getppid() == agent.pid)
		(void)syscall(SYS_kill, agent.pid, SIGKILL);
	(void)syscall(SYS_kill, pid, SIGKILL);
	/* Still here: the first process of a namespace is not killed from within it. */
	(void)syscall(SYS_exit_group, 128 + SIGKILL);
}

static __attribute__((noinline)) bool
is_paused_still(uint32_t until_s)
{
	return until_s == PYAUDIT_PAUSED || clock_ms(CLOCK_MONOTONIC_COARSE) / 1000 < until_s;
}

static inline bool
is_paused(void)
{
	uint32_t paused = 0;

	if (LIKELY(agent.ring != NULL))
		paused = atomic_load_explicit(&agent.ring->paused, memory_order_relaxed);
	return UNLIKELY(paused != 0) && is_paused_still(paused);
}

static void
decide(const struct policy *policy, const struct pyaudit_slot *slot, struct pyaudit_event *event,
       struct pyaudit_verdict *ret)
{
	if ((slot->flags & PYAUDIT_SLOT_JUDGE) != 0) {
		pyaudit_judge(policy->image, slot, &policy->proc, event, ret);
		if (UNLIKELY(ret->action >= PYAUDIT_ACTION_BLOCK) && agent.observes) {
			ret->action = PYAUDIT_ACTION_ALERT;
			ret->observed = 1;
		}
		return;
	}
	ret->action = pyaudit_slot_action(slot);
	ret->observed = 0;
	ret->n_hits = 0;
	ret->pure = 1;
	ret->is_counted = 0;
}

/* Where an event is judged, and what it is written into. */
union room {
	char scratch[PYAUDIT_SCRATCH_SIZE]; /* while it is judged */
	uint8_t record[PYAUDIT_RECORD_MAX]; /* afterwards */
	uint64_t align;
};

/* What judge says beside the number of a rule that refuses. */
#define GO_ON (-1)
#define MISSING (-2) /* refused and not told: there is no such program */

/* Whether this is an attempt of a search that is not to be told (search.h); *ret is then what judge says. */
static __attribute__((noinline)) bool
is_passed_over(const struct policy *policy, struct pyaudit_event *event, PyObject *args,
	       const struct pyaudit_verdict *verdict, int *ret)
{
	enum search_step step = search_step(event, args);

	if (step == SEARCH_NONE)
		return false;
	if (verdict->action >= PYAUDIT_ACTION_BLOCK) {
		*ret = step == SEARCH_MISSING ? MISSING : verdict->hits[0];
		return true;
	}
	/* Here nothing is refused, and the libc layer sees the program that is run in the end. */
	if (agent.route == PYAUDIT_ROUTE_IMPORT)
		return false;
	if (step == SEARCH_AGAIN)
		announce(event, verdict, policy->generation, thread_id(), wants_packages(policy));
	*ret = GO_ON;
	return true;
}

/* An act is about to be done, or it is the second event of one: what rules say of it was then told with the first one.
 * Where events are recorded, this one still is. */
static __attribute__((noinline)) void
announce_act(const struct policy *policy, const struct pyaudit_slot *slot, struct pyaudit_event *event,
	     struct pyaudit_verdict *verdict)
{
	struct announced *first = announced_second(event);
	const struct pyaudit_verdict *told = first != NULL ? announced_verdict(first, policy->generation) : NULL;

	event->announced = first != NULL;
	if (told != NULL && pyaudit_verdict_tell_once(policy->image, slot, verdict, told))
		return;
	if (verdict->action < PYAUDIT_ACTION_BLOCK)
		announce(event, verdict, policy->generation, thread_id(), wants_packages(policy));
}

/* A glance at an event, and a look into the table of what is known, are for nothing where one event after the
 * other concerns some rule, or is new: a try that succeeds pays for some more, and while too many are not paid for,
 * one event in so many is tried. A prime, so that a program that goes through the same files again and again is not
 * asked for the same of them each time. */
#define DEBT_MAX 64
#define PAID_BY_ONE 8
#define TRIED_EVERY 17

static inline bool
may_try(struct tries *tries)
{
	if (LIKELY(tries->debt < DEBT_MAX)) {
		tries->debt++;
		return true;
	}
	return tries->n_untried++ % TRIED_EVERY == 0;
}

static inline void
succeeded(struct tries *tries)
{
	tries->debt -= tries->debt < PAID_BY_ONE ? tries->debt : PAID_BY_ONE;
}

/* An event that is known to concern nobody; its arguments are there. */
static __attribute__((noinline)) void
remember_known(const struct pyaudit_slot *slot, const char *name, const struct pyaudit_value *values,
	       unsigned n_args)
{
	struct pyaudit_event event = {
		.id = pyaudit_get16(slot->event),
		.layer = PYAUDIT_LAYER_AUDIT,
		.name = name,
		.name_len = pyaudit_get32(slot->name_len),
		.args = values,
		.n_args = (uint8_t)n_args,
	};

	context_keep(&event, PYAUDIT_ACTION_NONE, thread_id());
}

static inline uint32_t
all_of(unsigned n_args)
{
	return (UINT32_C(1) << n_args) - 1;
}

/* Such an event whose arguments are not there yet. False: they take more than a look. */
static __attribute__((noinline)) bool
remember_unjudged(const struct pyaudit_slot *slot, const char *name, PyObject *args)
{
	struct pyaudit_value values[PYAUDIT_ARGS_MAX];
	unsigned n_args = encode_n_args(args);
	int saved_errno = errno;

	if (encode_plain(values, args, all_of(n_args)) != all_of(n_args))
		return false;
	remember_known(slot, name, values, n_args);
	errno = saved_errno;
	return true;
}

/* Whether a glance says that an event concerns no rule. */
static inline bool
concerns_nobody(const struct policy *policy, const struct pyaudit_slot *slot, const char *name, PyObject *args)
{
	struct pyaudit_value value;

	if (UNLIKELY(!python.measured) || !may_try(&thread.glances) || encode_n_args(args) < slot->glance ||
	    !encode_plain_text(&value, args, slot->glance - 1u) ||
	    !pyaudit_glance(policy->image, slot, value.s, value.len) || is_paused() ||
	    (UNLIKELY(policy->context > 0) && !remember_unjudged(slot, name, args)))
		return false;
	succeeded(&thread.glances);
	return true;
}

/* An event that the policy asks for. About 24 KiB of stack. Returns the number of the rule that
 * refuses it, or one of these. */
static __attribute__((noinline)) int
judge(const struct policy *policy, const struct pyaudit_slot *slot, const char *name, PyObject *args)
{
	union room room;
	char text_room[TEXT_ROOM];
	struct pyaudit_value values[PYAUDIT_VALUES_MAX];
	struct pyaudit_origin frames[PYAUDIT_STACK_MAX];
	struct raised raised = {args, {values, 0, &raised.text}, {text_room, 0, TEXT_ROOM_ARGS}, NULL};
	uint16_t id = pyaudit_get16(slot->event);
	struct pyaudit_event event;
	struct pyaudit_verdict verdict;
	struct memo_key key;
	unsigned n_args;
	uint32_t plain = 0;
	bool keyed = false;
	int rule;

	if (UNLIKELY(!python.measured))
		python_measure();
	raised.values.n = n_args = encode_n_args(args);
	/* Names of others are not in the key, and what is announced or recorded is so each time. */
	if (slot->flags == PYAUDIT_SLOT_JUDGE && id != PYAUDIT_EV_OTHER && may_try(&thread.known)) {
		plain = encode_plain(values, args, all_of(n_args));
		keyed = plain == all_of(n_args) && memo_key(&key, policy->serial, id, values, n_args);
	}
	if (keyed && memo_has(&key) && !is_paused()) {
		succeeded(&thread.known);
		if (policy->context > 0)
			remember_known(slot, name, values, n_args);
		return GO_ON;
	}
	event = (struct pyaudit_event){
		.id = id,
		.layer = PYAUDIT_LAYER_AUDIT,
		.name = name,
		.name_len = id != PYAUDIT_EV_OTHER ? pyaudit_get32(slot->name_len)
						   : (uint32_t)strlen(name),
		.args = values,
		.n_args = (uint8_t)n_args,
		.fetched = plain,
		.fetch = fetch_argument,
		.frames = frames,
		.origin = fetch_origin,
		.lines = origin_lines,
		.packages = origin_packages,
		.data = &raised,
		.resolve = real_resolve,
		.scratch = room.scratch,
		.scratch_size = sizeof(room.scratch),
	};
	decide(policy, slot, &event, &verdict);
	if (is_paused()) {
		/* A daemon that came anew may know of no pause, and has yet to hear of this ring. */
		look_for_daemon(clock_ns(CLOCK_REALTIME), LOOK_NS);
		return GO_ON;
	}
	if (UNLIKELY(id == PYAUDIT_EV_OS_EXEC) && verdict.action >= PYAUDIT_ACTION_ALERT &&
	    is_passed_over(policy, &event, args, &verdict, &rule))
		return rule;
	if ((slot->flags & PYAUDIT_SLOT_ANNOUNCE) != 0)
		announce_act(policy, slot, &event, &verdict);
	if (verdict.action != PYAUDIT_ACTION_NONE)
		deliver(policy, &event, &verdict, agent.pid, thread_id(), room.record);
	else if (keyed && verdict.pure)
		memo_add(&key);
	if (policy->context > 0)
		context_keep(&event, verdict.action, thread_id());
	if (UNLIKELY(verdict.action == PYAUDIT_ACTION_KILL))
		end_process((uint32_t)getpid());
	return LIKELY(verdict.action < PYAUDIT_ACTION_BLOCK) ? GO_ON : verdict.hits[0];
}

/* One act, one event: whether the audit layer told of it, and saw no less in it. */
static bool
is_told(const struct policy *policy, const struct pyaudit_verdict *verdict, const struct announced *announced)
{
	const struct pyaudit_verdict *told = announced_verdict(announced, policy->generation);

	return told != NULL ? pyaudit_verdict_adds_nothing(policy->image, verdict, told)
			    : verdict->action <= announced_action(announced);
}

/*
 * The libc layer: a call that starts a program, on the real strings. In a child between fork and
 * exec the parent's policy and ring are used as they are, for nothing may be set up there; so
 * nothing here but system calls, atomics and memory of this stack. @least is the action that is
 * taken whatever the rules say.
 */
static __attribute__((noinline)) int
judge_native(const struct policy *policy, const struct pyaudit_slot *slot, const char *name,
	     const struct pyaudit_value *args, unsigned n_args, bool (*is_real)(const void *),
	     const void *data, enum pyaudit_action least)
{
	union room room;
	char text_room[TEXT_ROOM];
	struct pyaudit_origin frames[PYAUDIT_STACK_MAX];
	struct raised raised = {.text = {text_room, 0, TEXT_ROOM}};
	uint32_t pid = (uint32_t)getpid();
	struct pyaudit_event event = {
		.id = pyaudit_get16(slot->event),
		.layer = PYAUDIT_LAYER_LIBC,
		.name = name,
		.name_len = (uint32_t)strlen(name),
		.args = args,
		.n_args = (uint8_t)n_args,
		.frames = frames,
		.origin = fetch_native_origin,
		.lines = origin_lines,
		.packages = origin_packages,
		.data = &raised,
		.scratch = room.scratch,
		.scratch_size = sizeof(room.scratch),
	};
	struct pyaudit_verdict verdict;

	raised.announced = least == PYAUDIT_ACTION_NONE ? announced_find(&event) : NULL;
	event.announced = raised.announced != NULL;
	decide(policy, slot, &event, &verdict);
	if (verdict.action < least)
		verdict.action = (uint8_t)least;
	if (is_paused())
		return 0;
	if (verdict.action == PYAUDIT_ACTION_NONE) {
		if (policy->context > 0 && !event.announced)
			context_keep(&event, verdict.action, (uint32_t)syscall(SYS_gettid));
		return 0;
	}
	if (event.announced && is_told(policy, &verdict, raised.announced)) {
		if (is_real == NULL || is_real(data))
			announced_done(raised.announced);
		return 0;
	}
	/* A program that is not there is not started, and search paths try many. It is refused all
	 * the same, for it may come to be there meanwhile. */
	if (is_real == NULL || is_real(data)) {
		uint32_t tid = (uint32_t)syscall(SYS_gettid);

		deliver(policy, &event, &verdict, pid, tid, room.record);
		if (policy->context > 0)
			context_keep(&event, verdict.action, tid);
		if (verdict.action == PYAUDIT_ACTION_KILL)
			end_process(pid);
		if (verdict.action >= PYAUDIT_ACTION_BLOCK)
			return -EPERM;
	}
	return verdict.action >= PYAUDIT_ACTION_BLOCK ? -ENOENT : 0;
}

/* Acts of the libc layer are the moment when a hook that was taken out matters: told once. */
static __attribute__((noinline)) void
tell_removed(const struct policy *policy)
{
	static const char name[] = "pyaudit.hook_removed";

	/* The mark is in the ring, for this may be a child that dies soon, one of many. */
	if (agent.ring != NULL && atomic_exchange(&agent.ring->hook_told, 1) == 0)
		(void)judge_native(policy, pyaudit_image_slot(policy->image, name), name, NULL, 0,
				   NULL, NULL, PYAUDIT_ACTION_ALERT);
}

bool
hook_asks(const char *name)
{
	const struct policy *policy = atomic_load_explicit(&agent.policy, memory_order_acquire);

	return policy != NULL && pyaudit_image_slot(policy->image, name)->flags != 0;
}

int
hook_native(const char *name, const struct pyaudit_value *args, unsigned n_args,
	    bool (*is_real)(const void *), const void *data)
{
	const struct policy *policy = atomic_load_explicit(&agent.policy, memory_order_acquire);
	const struct pyaudit_slot *slot;
	int saved_errno = errno;
	int r;

	if (policy == NULL)
		return 0;
	if (UNLIKELY(!registration_holds()))
		tell_removed(policy);
	slot = pyaudit_image_slot(policy->image, name);
	if (slot->flags == 0) {
		errno = saved_errno;
		return 0;
	}
	/* No mark is left in the thread: in a vfork child it is the parent's, and the child may be
	 * killed before it could take it back. */
	r = judge_native(policy, slot, name, args, n_args, is_real, data, PYAUDIT_ACTION_NONE);
	errno = saved_errno;
	return r;
}

/* An event that nobody asks for, and that an alert after it may tell of. */
static __attribute__((noinline)) void
remember(const struct pyaudit_slot *slot, const char *name, PyObject *args)
{
	char text_room[TEXT_ROOM];
	struct pyaudit_value values[PYAUDIT_VALUES_MAX];
	struct raised raised = {args, {values, 0, &raised.text}, {text_room, 0, TEXT_ROOM}, NULL};
	struct pyaudit_event event;
	int saved_errno = errno;

	if (UNLIKELY(!python.measured))
		python_measure();
	raised.values.n = encode_n_args(args);
	event = (struct pyaudit_event){
		.id = pyaudit_get16(slot->event),
		.layer = PYAUDIT_LAYER_AUDIT,
		.name = name,
		.name_len = (uint32_t)strnlen(name, PYAUDIT_TEXT_MAX),
		.args = values,
		.n_args = (uint8_t)raised.values.n,
		.fetch = fetch_argument,
		.data = &raised,
	};
	context_keep(&event, PYAUDIT_ACTION_NONE, thread_id());
	errno = saved_errno;
}

static __attribute__((noinline)) int
asked_for(const struct policy *policy, const struct pyaudit_slot *slot, const char *name,
	  PyObject *args)
{
	int saved_errno = errno;
	int rule;

	if (UNLIKELY(thread.depth >= DEPTH_MAX)) {
		if (agent.ring != NULL)
			atomic_fetch_add_explicit(&agent.ring->n_failed, 1, memory_order_relaxed);
		return 0;
	}
	thread.depth++;
	rule = judge(policy, slot, name, args);
	thread.depth--;
	errno = saved_errno;
	/* Making the exception may run finalisers: outside, so that their acts are judged. */
	if (LIKELY(rule == GO_ON))
		return 0;
	return rule == MISSING ? refuse_missing(args) : refuse(policy->image, (unsigned)rule, name);
}

static bool
is_hooks_cleared(const char *name)
{
	return name[0] == 'c' && strcmp(name, "cpython._PySys_ClearAuditHooks") == 0;
}

int
hook_event(const char *name, PyObject *args, void *data)
{
	const struct pyaudit_slot *slot;
	const struct policy *policy;

	(void)data;
	if (UNLIKELY(atomic_load_explicit(&agent_life->attached, memory_order_acquire) == 0 ||
		     atomic_load_explicit(atomic_load_explicit(&agent.generation,
							       memory_order_relaxed),
					  memory_order_relaxed) !=
			     atomic_load_explicit(&agent.generation_seen, memory_order_relaxed)))
		refresh();
	if (UNLIKELY(is_hooks_cleared(name)) && !python.Py_IsInitialized())
		registration_cleared();
	policy = atomic_load_explicit(&agent.policy, memory_order_acquire);
	if (UNLIKELY(policy == NULL))
		return 0;
	slot = pyaudit_image_slot(policy->image, name);
	if (LIKELY(slot->flags == 0))
		return 0;
	if (slot->flags == PYAUDIT_SLOT_CONTEXT) {
		remember(slot, name, args);
		return 0;
	}
	if (slot->glance != 0 && slot->flags == PYAUDIT_SLOT_JUDGE && concerns_nobody(policy, slot, name, args))
		return 0;
	return asked_for(policy, slot, name, args);
}
