/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread has one place for each kind of act. Stacks stand in a pool, for thread-local memory is
 * scarce in libraries: a thread takes a free one, or one that nobody came back for. The pool is
 * ordinary memory: a forked child has a copy of it, a vfork child uses its parent's, which waits.
 */
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "announce.h"
#include "clock.h"
#include "origin.h"
#include "sums.h"

/* Acts that both layers see. */
enum act {
	ACT_NONE,
	ACT_PROGRAM, /* a program is started */
	ACT_CONNECT,
	N_ACTS,
};

struct stack {
	_Atomic uint32_t owner; /* thread; 0: free */
	_Atomic uint64_t since_ms;
	uint8_t n_frames, caller;
	struct pyaudit_origin frames[PYAUDIT_STACK_MAX];
	char text[ANNOUNCED_TEXT_MAX];
};

static struct stack *stacks; /* ANNOUNCED_STACKS */

struct announced {
	struct pyaudit_verdict verdict;
	uint64_t generation; /* whose rules are in it */
	uint32_t tid;
	uint64_t ms;	     /* CLOCK_MONOTONIC_COARSE; 0: none */
	uint64_t what;	     /* see act_what; 0: an object, anything fits */
	struct stack *stack; /* NULL: none was free */
};

static _Thread_local struct announced announced[N_ACTS];

/* The last announced program, where a second audit event of the same act may follow (pyaudit_is_first_of_two). */
static _Thread_local struct {
	uint16_t event; /* 0: none follows */
	uint32_t pid;
	uint64_t path; /* 0: a name, which is looked for yet */
	uint64_t words;
} program;

size_t
announce_use(void *room)
{
	if (room != NULL)
		stacks = room;
	return ANNOUNCED_STACKS * sizeof(*stacks);
}

static enum act
act_of(uint16_t event)
{
	switch (event) {
	case PYAUDIT_EV_SUBPROCESS_POPEN:
	case PYAUDIT_EV_OS_SYSTEM:
	case PYAUDIT_EV_OS_EXEC:
	case PYAUDIT_EV_OS_POSIX_SPAWN:
	case PYAUDIT_EV_POSIXSUBPROCESS_FORK_EXEC:
	case PYAUDIT_EV_PTY_SPAWN:
	case PYAUDIT_EV_LIBC_EXEC:
	case PYAUDIT_EV_LIBC_POSIX_SPAWN:
	case PYAUDIT_EV_LIBC_SYSTEM:
		return ACT_PROGRAM;
	case PYAUDIT_EV_SOCKET_CONNECT:
	case PYAUDIT_EV_LIBC_CONNECT:
		return ACT_CONNECT;
	default:
		return ACT_NONE;
	}
}

static uint64_t
hash_of(const struct pyaudit_value *text)
{
	return text_hash(text->s, text->len);
}

/* What is acted on, as both layers name it: a program by its name, a peer by its port (Python may
 * name a host where libc has the address) or path. 0 where the event does not say it. */
static uint64_t
act_what(enum act act, struct pyaudit_event *event)
{
	struct pyaudit_value what;

	if (act == ACT_CONNECT && pyaudit_field(event, PYAUDIT_F_NET_PORT, &what))
		return what.type == PYAUDIT_TAG_INT ? (uint64_t)what.i + 1 : 0;
	if (!pyaudit_field(event, act == ACT_CONNECT ? PYAUDIT_F_NET_PATH : PYAUDIT_F_EXEC_NAME,
			   &what))
		return 0;
	return hash_of(&what);
}

/* The path of a program, where it is one, and the words it gets; 0 where the event does not say it. */
static uint64_t
program_path(struct pyaudit_event *event)
{
	struct pyaudit_value path;

	if (!pyaudit_field(event, PYAUDIT_F_EXEC_PATH, &path) || memchr(path.s, '/', path.len) == NULL)
		return 0;
	return hash_of(&path);
}

static uint64_t
program_words(struct pyaudit_event *event)
{
	struct pyaudit_value words;

	return pyaudit_field(event, PYAUDIT_F_EXEC_CMDLINE, &words) ? hash_of(&words) : 0;
}

static void
keep_program(struct pyaudit_event *event)
{
	program.event = pyaudit_is_first_of_two(event->id) ? event->id : 0;
	if (program.event == 0)
		return;
	program.pid = (uint32_t)getpid();
	program.path = program_path(event);
	program.words = program_words(event);
}

/* Whether it is the process and the program of the first event. */
static bool
is_same_program(struct pyaudit_event *event)
{
	bool in_child = program.event == PYAUDIT_EV_PTY_SPAWN;
	uint64_t path;

	if (program.event == 0 || !pyaudit_is_second_of_two(program.event, event->id) ||
	    program.pid != (uint32_t)(in_child ? getppid() : getpid()))
		return false;
	if (program.words == 0 || program.words != program_words(event))
		return false;
	path = program_path(event);
	/* A name is looked for by subprocess in fork_exec, and by pty in os.exec. */
	return path == program.path ? path != 0 || event->id == PYAUDIT_EV_POSIXSUBPROCESS_FORK_EXEC
				    : program.path == 0 && in_child;
}

static bool
is_same_text(const struct pyaudit_value *a, const struct pyaudit_value *b)
{
	return a->type == b->type && (a->type == 0 || (a->len == b->len && memcmp(a->s, b->s, a->len) == 0));
}

/* Functions between the one that raised the first event and the one that raises the second: in pty's child execlp,
 * execvp and _execvpe. */
#define SECOND_DEPTH_MAX 4

/* Whether the function of the standard library that raised the first event is still running, called by the same ones: code
 * that does the same once more by itself does another act. */
static bool
is_same_call(struct pyaudit_event *event, const struct announced *first)
{
	const struct stack *stack = first->stack;
	unsigned n;

	if (stack == NULL || atomic_load_explicit(&stack->owner, memory_order_relaxed) != first->tid ||
	    stack->n_frames == 0 || stack->caller == 0)
		return false;
	pyaudit_event_need_frames(event, PYAUDIT_STACK_MAX);
	for (unsigned above = 0; above <= SECOND_DEPTH_MAX && above < event->n_frames; above++) {
		for (n = 0; n < stack->n_frames && above + n < event->n_frames; n++)
			if (!is_same_text(&stack->frames[n].file, &event->frames[above + n].file) ||
			    !is_same_text(&stack->frames[n].function, &event->frames[above + n].function))
				break;
		if (n == stack->n_frames || above + n == event->n_frames)
			return true;
	}
	return false;
}

static struct stack *
take_stack(uint32_t tid, uint64_t now_ms)
{
	for (unsigned i = 0; i < ANNOUNCED_STACKS; i++) {
		struct stack *stack = &stacks[(tid + i) % ANNOUNCED_STACKS];
		uint32_t owner = atomic_load_explicit(&stack->owner, memory_order_relaxed);
		uint64_t since_ms = atomic_load_explicit(&stack->since_ms, memory_order_relaxed);

		if (owner != 0 && now_ms - since_ms <= 2 * ANNOUNCED_MS)
			continue;
		if (!atomic_compare_exchange_strong(&stack->owner, &owner, tid))
			continue;
		atomic_store_explicit(&stack->since_ms, now_ms, memory_order_relaxed);
		return stack;
	}
	return NULL;
}

static void
keep_text(struct stack *stack, size_t *used, struct pyaudit_value *value)
{
	if (value->type == 0)
		return;
	if (value->len > sizeof(stack->text) - *used) {
		value->type = 0;
		return;
	}
	memcpy(stack->text + *used, value->s, value->len);
	value->s = stack->text + *used;
	*used += value->len;
}

static void
keep_frames(struct stack *stack, const struct pyaudit_event *event)
{
	size_t used = 0;

	stack->n_frames = event->n_frames;
	stack->caller = event->caller;
	for (unsigned i = 0; i < event->n_frames; i++) {
		struct pyaudit_origin *frame = &stack->frames[i];

		*frame = event->frames[i];
		keep_text(stack, &used, &frame->file);
		keep_text(stack, &used, &frame->function);
		keep_text(stack, &used, &frame->module);
	}
}

void
announced_done(struct announced *done)
{
	done->ms = 0;
	if (done->stack != NULL)
		atomic_store_explicit(&done->stack->owner, 0, memory_order_release);
	done->stack = NULL;
}

void
announce(struct pyaudit_event *event, const struct pyaudit_verdict *verdict, uint64_t generation, uint32_t tid,
	 bool packages)
{
	enum act act = act_of(event->id);
	struct announced *now = &announced[act];
	struct stack *stack = now->stack;

	if (__builtin_expect(act == ACT_NONE, 1))
		return;
	/* What this thread had before is its own still, unless it stood so long that it was taken.
	 */
	if (stack != NULL &&
	    (now->tid != tid || atomic_load_explicit(&stack->owner, memory_order_relaxed) != tid))
		stack = NULL;
	*now = (struct announced){.verdict = *verdict,
				  .generation = generation,
				  .tid = tid,
				  .ms = clock_ms(CLOCK_MONOTONIC_COARSE)};
	now->what = act_what(act, event);
	if (act == ACT_PROGRAM)
		keep_program(event);
	if (stack != NULL)
		atomic_store_explicit(&stack->since_ms, now->ms, memory_order_relaxed);
	else
		stack = take_stack(tid, now->ms);
	if (stack == NULL)
		return;
	/* Whoever judges the act by its packages cannot look at sys.path any more. */
	if (packages)
		origin_know_path();
	pyaudit_event_need_frames(event, PYAUDIT_STACK_MAX);
	pyaudit_event_need_lines(event);
	keep_frames(stack, event);
	now->stack = stack;
}

struct announced *
announced_find(struct pyaudit_event *event)
{
	enum act act = act_of(event->id);
	struct announced *found = &announced[act];

	if (act == ACT_NONE || found->ms == 0 || clock_ms(CLOCK_MONOTONIC_COARSE) - found->ms >= ANNOUNCED_MS ||
	    (found->what != 0 && found->what != act_what(act, event)))
		return NULL;
	return found;
}

struct announced *
announced_second(struct pyaudit_event *event)
{
	struct announced *first;

	if (!is_same_program(event))
		return NULL;
	first = announced_find(event);
	if (first == NULL || !is_same_call(event, first))
		return NULL;
	program.event = 0;
	return first;
}

const struct pyaudit_verdict *
announced_verdict(const struct announced *found, uint64_t generation)
{
	return found->generation == generation ? &found->verdict : NULL;
}

uint8_t
announced_action(const struct announced *found)
{
	return found->verdict.action;
}

void
announced_origin(const struct announced *found, struct pyaudit_event *event)
{
	const struct stack *stack = found->stack;

	if (stack == NULL)
		return;
	memcpy(event->frames, stack->frames, stack->n_frames * sizeof(*stack->frames));
	event->n_frames = stack->n_frames;
	event->caller = stack->caller;
	event->lines_asked = true;
}
