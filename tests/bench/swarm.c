/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ten thousand agents on a small machine: the real protocol, the real ring (agent/ring.c), no Python.
 *
 *   swarm [-n AGENTS] [-r RATE] [-b BURST] [-p PROBES] [-a] [-t] DIR
 *
 * Every agent is a process of the kernel: with a number that SO_PEERCRED gives, a pidfd, and entries of
 * /proc that the daemon reads. It connects and says HELLO for itself, with a ring of its own, and sleeps
 * from then on. It shares memory and descriptors with this program (clone), so that it costs a kernel
 * stack and not more; this program writes into all the rings, and wakes the daemon over the agents'
 * sockets, as their hooks would.
 *
 * Told on standard output, one JSON object a line: `attached`; a line on standard input begins the load,
 * another one ends it: `done`, once all rings are empty; the end of standard input ends everything.
 *
 *   -r RATE    events of each agent in a second, spread evenly; 0: none; max: as many as there is room
 *              for, so that the daemon sets the pace and nothing is lost
 *   -b BURST   events that an agent raises at once (1)
 *   -p PROBES  in a second, by one agent after the other: events of the name swarm.probe with the time
 *              (CLOCK_REALTIME, ns) as their argument, for latency.c
 *   -a         alerts, in the urgent lane
 *   -t         rings that have been written over once already, as those of processes that run for a while
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "event.h"
#include "pyaudit/wire.h"
#include "ring.h"
#include "verdict.h"

#define AGENTS_MAX 60000u
#define STACK_SIZE 16384u
#define AHEAD 16u             /* rings that are brought near before their turn */
#define STEP_NS 1000000u      /* between two looks at what is due */
#define SILENT_NS 200000000u  /* as link.c: a daemon that has not read for so long is woken */

struct member {
	struct pyaudit_ring *ring;
	int socket, memfd;
	pid_t pid;
	uint64_t looked_ns;
};

struct swarm {
	struct member *members;
	const char *dir;
	unsigned n, burst, probes;
	double rate; /* of all together in a second; negative: as many as there is room for */
	enum pyaudit_lane lane;
	uint8_t record[PYAUDIT_RECORD_MAX];
	size_t record_size;
	uint64_t n_pushed, n_wakes;
};

_Noreturn static void
die(const char *what)
{
	perror(what);
	exit(1);
}

/* Attaching */

static bool touch; /* -t */

static void
make_ring(struct member *member)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int fd = memfd_create("pyaudit-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *ring;

	if (fd < 0 || ftruncate(fd, RING_SIZE) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		die("memfd");
	ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | (touch ? MAP_POPULATE : 0), fd, 0);
	if (ring == MAP_FAILED)
		die("mmap");
	ring_format(ring);
	member->ring = ring;
	member->memfd = fd;
}

static int
send_frame(int sock, enum pyaudit_frame_type type, const void *payload, size_t length, int fd)
{
	struct pyaudit_frame head = {.magic = {'P', 'A'}, .major = PYAUDIT_MAJOR, .minor = PYAUDIT_MINOR,
				     .type = pyaudit_le16_of((uint16_t)type),
				     .length = pyaudit_le32_of((uint32_t)length)};
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	union {
		const void *in;
		void *out;
	} bytes = {.in = payload};
	struct iovec iov[2] = {{&head, sizeof(head)}, {bytes.out, length}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};

	if (fd >= 0) {
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
	}
	return sendmsg(sock, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int
say_hello(const struct member *member)
{
	static const char strings[] = "3.11.2\0/usr/bin/swarm\0/\0\0\0swarm";
	struct {
		struct pyaudit_hello hello;
		char bytes[sizeof(strings) + sizeof(PYAUDIT_VERSION)];
	} payload = {
		.hello = {.pid = pyaudit_le32_of((uint32_t)getpid()),
			  .ppid = pyaudit_le32_of((uint32_t)getppid()),
			  .start_ns = pyaudit_le64_of(clock_ns(CLOCK_REALTIME)),
			  .route = PYAUDIT_ROUTE_PRELOAD,
			  .reason = PYAUDIT_REASON_START,
			  .n_argv = pyaudit_le16_of(1),
			  .strings = pyaudit_le32_of(sizeof(strings))},
	};

	memcpy(payload.bytes, strings, sizeof(strings));
	memcpy(payload.bytes + sizeof(strings), PYAUDIT_VERSION, sizeof(PYAUDIT_VERSION));
	return send_frame(member->socket, PYAUDIT_FRAME_HELLO, &payload, sizeof(payload), member->memfd);
}

/* What a child tells; its parent waits for it, so that no two use errno. */
static _Atomic int told;
static const char *directory;

/* An agent. Sleeps until it is killed, and never returns: its stack is not used any more. */
static int
live(void *data)
{
	struct member *member = data;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int r = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", directory,
		       PYAUDIT_AGENT_SOCKET);
	/* Waits where the daemon's backlog is full. */
	if (connect(member->socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		r = -errno;
	if (r == 0)
		r = say_hello(member);
	atomic_store(&told, r < 0 ? r : 1);
	while (syscall(SYS_pause) < 0) {
	}
	return 0;
}

static void
attach(struct swarm *swarm, struct member *member, char *stack)
{
	int r;

	make_ring(member);
	member->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (member->socket < 0)
		die("socket");
	atomic_store(&told, 0);
	member->pid = clone(live, stack + STACK_SIZE, CLONE_VM | CLONE_FILES | SIGCHLD, member);
	if (member->pid < 0)
		die("clone");
	while ((r = atomic_load(&told)) == 0)
		(void)sched_yield();
	if (r < 0) {
		errno = -r;
		die(swarm->dir);
	}
	(void)close(member->memfd); /* the daemon has it */
}

static void
raise_limits(unsigned n_agents)
{
	rlim_t needed = n_agents + 256;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < needed) {
		limit.rlim_cur = needed;
		if (limit.rlim_max < needed)
			limit.rlim_max = needed;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			die("RLIMIT_NOFILE");
	}
}

/* Until the daemon has read every ring once. */
static void
attach_all(struct swarm *swarm)
{
	char *stacks = mmap(NULL, (size_t)swarm->n * STACK_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t begun = clock_ns(CLOCK_MONOTONIC);

	raise_limits(swarm->n);
	if (stacks == MAP_FAILED)
		die("mmap");
	for (unsigned i = 0; i < swarm->n; i++)
		attach(swarm, &swarm->members[i], stacks + (size_t)i * STACK_SIZE);
	for (unsigned i = 0; i < swarm->n; i++)
		while (atomic_load(&swarm->members[i].ring->beat_ns) == 0) {
			struct pollfd p = {.fd = swarm->members[i].socket, .events = POLLIN};
			char packet[512];

			(void)usleep(200);
			if (poll(&p, 1, 0) != 1 ||
			    recv(p.fd, packet, sizeof(packet) - 1, MSG_DONTWAIT) <= 0)
				continue;
			if (packet[4] == PYAUDIT_FRAME_REFUSED) {
				fprintf(stderr, "swarm: agent %u of %u is refused\n", i, swarm->n);
				exit(1);
			}
		}
	printf("{\"attached\":%u,\"seconds\":%.3f}\n", swarm->n,
	       (double)(clock_ns(CLOCK_MONOTONIC) - begun) / 1e9);
	(void)fflush(stdout);
}

/* Events */

static size_t
encode(uint8_t *out, struct pyaudit_event *event, enum pyaudit_lane lane, uint32_t pid)
{
	struct pyaudit_verdict verdict = {.action = lane == PYAUDIT_LANE_URGENT ? PYAUDIT_ACTION_ALERT
										: PYAUDIT_ACTION_RECORD};

	return pyaudit_record_encode(out, event, &verdict, 1, clock_ns(CLOCK_REALTIME), pid, pid);
}

/* The record that all events are copies of, but for process and time. */
static void
make_record(struct swarm *swarm)
{
	struct pyaudit_value args[3] = {
		pyaudit_value_text("/srv/application/templates/index.html", 37),
		pyaudit_value_text("r", 1),
		pyaudit_value_int(524288),
	};
	struct pyaudit_origin frame = {
		.file = pyaudit_value_text("/srv/application/views.py", 25),
		.function = pyaudit_value_text("render", 6),
		.module = pyaudit_value_text("application.views", 17),
		.line = 42,
	};
	struct pyaudit_event event = {.id = PYAUDIT_EV_OPEN, .n_args = 3, .name = "open", .name_len = 4,
				      .args = args, .frames = &frame, .n_frames = 1};

	swarm->record_size = encode(swarm->record, &event, swarm->lane, 0);
}

static void
wake(struct swarm *swarm, const struct member *member)
{
	swarm->n_wakes++;
	(void)send_frame(member->socket, PYAUDIT_FRAME_WAKE, NULL, 0, -1);
}

static void
push(struct swarm *swarm, struct member *member, enum pyaudit_lane lane, const void *record, size_t size,
     uint64_t mono_ns)
{
	struct ring_pushed pushed;

	(void)ring_push(member->ring, lane, record, size, (uint32_t)member->pid, &pushed);
	swarm->n_pushed++;
	if (pushed.wake) {
		wake(swarm, member);
	} else if (mono_ns - member->looked_ns > SILENT_NS) {
		uint64_t beat = atomic_load_explicit(&member->ring->beat_ns, memory_order_relaxed);

		member->looked_ns = mono_ns;
		if ((int64_t)(mono_ns - beat) > (int64_t)SILENT_NS)
			wake(swarm, member);
	}
}

static void
raise_events(struct swarm *swarm, struct member *member, unsigned n, uint64_t mono_ns)
{
	struct pyaudit_record *head = (struct pyaudit_record *)(void *)swarm->record;

	head->generation = pyaudit_le64_of(atomic_load_explicit(&member->ring->generation, memory_order_relaxed));
	head->pid = head->tid = pyaudit_le32_of((uint32_t)member->pid);
	while (n-- > 0)
		push(swarm, member, swarm->lane, swarm->record, swarm->record_size, mono_ns);
}

static void
raise_probe(struct swarm *swarm, struct member *member, uint64_t mono_ns)
{
	struct pyaudit_value arg = pyaudit_value_int((int64_t)clock_ns(CLOCK_REALTIME));
	struct pyaudit_event event = {.id = PYAUDIT_EV_OTHER, .n_args = 1, .name = "swarm.probe",
				      .name_len = 11, .args = &arg};
	uint8_t record[PYAUDIT_RECORD_MAX];
	size_t size = encode(record, &event, PYAUDIT_LANE_ORDINARY, (uint32_t)member->pid);

	push(swarm, member, PYAUDIT_LANE_ORDINARY, record, size, mono_ns);
}

static bool
has_room(const struct swarm *swarm, const struct member *member)
{
	const struct pyaudit_ring *ring = member->ring;
	uint64_t head = atomic_load_explicit(&ring->head[swarm->lane], memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&ring->tail[swarm->lane], memory_order_acquire);
	uint64_t used = pyaudit_place_words(pyaudit_place_words(head) - pyaudit_place_words(tail)) * 8ull;

	/* A record that would cross the lane's end takes what is left of the lap, too. */
	return used + (swarm->burst + 1) * (swarm->record_size + 16ull) < ring->lane_size[swarm->lane] &&
	       pyaudit_place_index(head - tail) + swarm->burst < ring->n_claims[swarm->lane];
}

/* Standard input has something to say. */
static bool
is_told(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* Agents have their caches to themselves, and here one program writes into ten thousand rings. */
static void
look_ahead(const struct swarm *swarm, unsigned at)
{
	const struct pyaudit_ring *soon = swarm->members[(at + AHEAD) % swarm->n].ring;
	const struct pyaudit_ring *next = swarm->members[(at + AHEAD / 2) % swarm->n].ring;
	uint64_t place = atomic_load_explicit(&next->head[swarm->lane], memory_order_relaxed);
	const char *bytes = (const char *)next + next->lane_offset[swarm->lane] +
			    (pyaudit_place_words(place) * 8u & (next->lane_size[swarm->lane] - 1));

	for (size_t line = 0; line < sizeof(*soon); line += 64)
		__builtin_prefetch((const char *)soon + line);
	__builtin_prefetch((const char *)next + next->claims_offset[swarm->lane] +
			   (pyaudit_place_index(place) & (next->n_claims[swarm->lane] - 1)) * 8);
	for (size_t line = 0; line < swarm->record_size; line += 64)
		__builtin_prefetch(bytes + line, 1);
}

/* One more round of all agents, or as many of them as are due. Returns false where nobody had room. */
static bool
turn(struct swarm *swarm, unsigned *at, uint64_t n_due, uint64_t mono_ns)
{
	struct pyaudit_record *head = (struct pyaudit_record *)(void *)swarm->record;
	bool any = false;

	head->time_ns = pyaudit_le64_of(clock_ns(CLOCK_REALTIME));
	for (uint64_t i = 0; i < n_due; i++) {
		struct member *member = &swarm->members[*at];

		look_ahead(swarm, *at);
		*at = *at + 1 < swarm->n ? *at + 1 : 0;
		if (swarm->rate < 0 && !has_room(swarm, member))
			continue;
		any = true;
		raise_events(swarm, member, swarm->burst, mono_ns);
	}
	return any;
}

static void
run(struct swarm *swarm)
{
	uint64_t begun = clock_ns(CLOCK_MONOTONIC), now = begun, next_look = begun;
	double n_begun = 0; /* bursts that were due so far, and are begun */
	uint64_t n_probes = 0;
	unsigned at = 0, probe_at = 0;

	for (;;) {
		uint64_t due, probes_due;
		bool any;

		now = clock_ns(CLOCK_MONOTONIC);
		if (now >= next_look) {
			next_look = now + 10 * STEP_NS;
			if (is_told())
				break;
		}
		probes_due = (uint64_t)((double)(now - begun) / 1e9 * swarm->probes);
		for (; n_probes < probes_due; n_probes++) {
			raise_probe(swarm, &swarm->members[probe_at], now);
			probe_at = (probe_at + 7919) % swarm->n;
		}
		if (swarm->rate < 0) {
			any = turn(swarm, &at, swarm->n < 64 ? swarm->n : 64, now);
			if (!any && swarm->n <= 64)
				(void)usleep(50);
			else if (!any)
				(void)sched_yield();
			continue;
		}
		due = (uint64_t)((double)(now - begun) / 1e9 * swarm->rate / swarm->burst - n_begun);
		/* What it cannot keep up with is not raised later: `done` has the rate that was reached. */
		(void)turn(swarm, &at, due < swarm->n ? due : swarm->n, now);
		n_begun += (double)due;
		(void)usleep(STEP_NS / 1000);
	}
	for (unsigned i = 0; i < swarm->n; i++) {
		const struct pyaudit_ring *ring = swarm->members[i].ring;

		for (unsigned lane = 0; lane < PYAUDIT_N_LANES; lane++)
			while (pyaudit_place_index(atomic_load(&ring->tail[lane])) !=
			       pyaudit_place_index(atomic_load(&ring->head[lane])))
				(void)usleep(200);
	}
	{
		uint64_t n_lost = 0;
		struct rusage usage;

		for (unsigned i = 0; i < swarm->n; i++)
			for (unsigned lane = 0; lane < PYAUDIT_N_LANES; lane++)
				n_lost += atomic_load(&swarm->members[i].ring->n_lost[lane]);
		(void)getrusage(RUSAGE_SELF, &usage);
		printf("{\"raised\":%llu,\"lost\":%llu,\"probes\":%llu,\"wakes\":%llu,\"record_size\":%zu,"
		       "\"seconds\":%.3f,\"until_empty\":%.3f,\"cpu\":%.3f}\n",
		       (unsigned long long)swarm->n_pushed, (unsigned long long)n_lost,
		       (unsigned long long)n_probes, (unsigned long long)swarm->n_wakes,
		       swarm->record_size, (double)(now - begun) / 1e9,
		       (double)(clock_ns(CLOCK_MONOTONIC) - begun) / 1e9,
		       (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
			       (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6);
		(void)fflush(stdout);
	}
}

/* Options and the order of things */

static bool
parse(struct swarm *swarm, int argc, char **argv)
{
	const char *rate = "0";
	int option;

	while ((option = getopt(argc, argv, "n:r:b:p:at")) != -1) {
		switch (option) {
		case 'n':
			swarm->n = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			rate = optarg;
			break;
		case 'b':
			swarm->burst = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'p':
			swarm->probes = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			touch = true;
			break;
		case 'a':
			swarm->lane = PYAUDIT_LANE_URGENT;
			break;
		default:
			return false;
		}
	}
	if (optind != argc - 1 || swarm->n == 0 || swarm->n > AGENTS_MAX || swarm->burst == 0)
		return false;
	swarm->dir = directory = argv[optind];
	swarm->rate = strcmp(rate, "max") == 0 ? -1 : strtod(rate, NULL) * swarm->n;
	return true;
}

static bool
await_line(void)
{
	char line[64];

	return fgets(line, sizeof(line), stdin) != NULL;
}

int
main(int argc, char **argv)
{
	static struct swarm swarm = {.n = 1, .burst = 1, .lane = PYAUDIT_LANE_ORDINARY};

	if (!parse(&swarm, argc, argv)) {
		fprintf(stderr, "usage: swarm [-n AGENTS] [-r RATE|max] [-b BURST] [-p PROBES] [-a] [-t] DIR\n");
		return 2;
	}
	setvbuf(stdin, NULL, _IONBF, 0); /* poll is to see what was not read */
	swarm.members = calloc(swarm.n, sizeof(swarm.members[0]));
	if (swarm.members == NULL)
		die("calloc");
	make_record(&swarm);
	attach_all(&swarm);
	if (await_line())
		run(&swarm);
	while (await_line()) {
	}
	/* The agents end with this program. */
	return 0;
}
