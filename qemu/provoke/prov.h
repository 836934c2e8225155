/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the core (main.c) and the kinds of stalls (hung.c, lockup.c) share.
 */
#ifndef VIGIL_PROVOKE_H
#define VIGIL_PROVOKE_H

#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct file;
struct inode;
struct prov_stall;
struct seq_file;

/* One thread of a stall, victim or holder. */
struct prov_thread {
	struct prov_stall *stall;
	/* A reference is held until the stall is freed: the task may be dead. */
	struct task_struct *task;
	unsigned int idx;
	/* Naps done so far. */
	unsigned int rounds;
	/* A task that came in through block_me; not ours to stop. */
	bool user;
	/* At the barrier, see prov_barrier(). */
	bool ready;
	/* Whatever sleep comes next is the one that this thread is here for. */
	bool waiting;

	/* Of PROV_CPUS kinds only: where it is bound to, */
	unsigned int cpu;
	/* what kept it from beginning, */
	int err;
	/* and local_clock() from when to when it occupied the CPU; 0: not yet. */
	u64 began;
	u64 ended;
};

/* Flags of a kind. */
#define PROV_USER	BIT(0)	/* may be used through block_me */
#define PROV_BARRIER	BIT(1)	/* victims call prov_barrier() */
#define PROV_HOLDER_EXITS BIT(2)	/* the holder returns instead of waiting */
#define PROV_UNSTARTED	BIT(3)	/* victims are created but not woken */
#define PROV_ROUNDS	BIT(4)	/* count= is not the number of threads */
#define PROV_PARTIAL	BIT(5)	/* stands even if not all threads could be made */
#define PROV_IOWAIT	BIT(6)	/* victims have in_iowait set */
#define PROV_NOT_RT	BIT(7)	/* not possible with PREEMPT_RT */
#define PROV_CPUS	BIT(8)	/* stalls CPUs: one victim bound to each */
#define PROV_OTHER_CPU	BIT(9)	/* needs a CPU that is not one of them */
#define PROV_OTHER_RUNS	BIT(10)	/* and a thread on that one too */
#define PROV_ONLY_RT	BIT(11)	/* only possible with PREEMPT_RT */

/* A number that a kind can be given; where it goes in struct prov_args. */
struct prov_key {
	const char *name;
	size_t offset;
	unsigned int min;
	unsigned int max;
	unsigned int def;
};

struct prov_kind {
	const char *name;
	/* For the comm of the victims: prov_<tag>/<index> in 15 bytes. */
	const char *tag;
	const char *help;
	unsigned int flags;
	/* Number of victims; 0: not for the user to say. */
	unsigned int max_count;
	unsigned int def_count;
	/* What it takes beyond the keys of all kinds; NULL or ended by {}. */
	const struct prov_key *keys;
	/* Exactly the __state of a victim of a standing stall. */
	unsigned int state;
	/* The same of the last victim, if that has another one; 0: it has not. */
	unsigned int last_state;

	/* Decides on stall->max; may set stall->priv as prepare() does. */
	int (*plan)(struct prov_stall *s);
	/* Allocates and initialises stall->priv, which the core kvfree()s. */
	int (*prepare)(struct prov_stall *s);
	/*
	 * Body of the holder thread: take the lock, prov_hold(), give it back.
	 * NULL: there is none.
	 */
	void (*holder)(struct prov_thread *t);
	/* Runs in the task that starts the stall once the holder holds. */
	void (*held)(struct prov_stall *s);
	/* Body of a victim: prov_waiting(), then the wait. 0 or -errno. */
	int (*victim)(struct prov_thread *t);
	/* What task->blocker has to be while victim @idx waits; 0: don't look. */
	unsigned long (*blocker)(struct prov_stall *s, unsigned int idx);
	/* Finishing touch when all victims sleep. */
	void (*stands)(struct prov_stall *s);
	/* PROV_CPUS: all victims are at the barrier, which opens next. */
	int (*stage)(struct prov_stall *s);
	/* PROV_CPUS: occupies the CPU of @t from t->began to t->ended. */
	void (*occupy)(struct prov_thread *t);
	/* PROV_CPUS: its part of the line in "active", with the newline. */
	void (*show)(struct seq_file *m, struct prov_stall *s);
	/*
	 * Lets the victims go. Called once, with s->released set, however far
	 * the start came. The holder is let go by the core, right after.
	 */
	void (*release)(struct prov_stall *s);
};

#define PROV_ANY_CPU	UINT_MAX
#define PROV_CPUS_LEN	128

struct prov_args {
	unsigned int secs;
	unsigned int count;
	unsigned int locks;
	unsigned int ms;
	unsigned int gap_ms;
	unsigned int touch_ms;
	unsigned int us;
	unsigned int work;
	unsigned int prio;
	unsigned int irqsave;
	unsigned int irq;
	unsigned int target;
	unsigned int how;
	unsigned int id;
	/* CPU list, and whether it says which ones not; empty: the default. */
	bool but;
	char cpus[PROV_CPUS_LEN];
	/* Empty: the default name. */
	char comm[TASK_COMM_LEN];
};

struct prov_stall {
	struct kref ref;
	struct list_head node;
	const struct prov_kind *kind;
	struct prov_args args;
	void *priv;

	struct prov_thread holder;
	struct prov_thread *victims;
	unsigned int max;	/* room in victims[] */
	unsigned int made;	/* entries in use */

	/* Under prov_lock. */
	bool standing;
	bool ending;
	bool finished;

	bool aborted;		/* set before @go when the start failed */
	bool went;		/* @go came, and not because of a failure */
	bool released;
	bool stolen;		/* a mutex was taken from its owner, see hung.c */
	bool staged;		/* kind->stage() has something to be undone */
	unsigned int users;	/* block_me tasks inside victim() */
	wait_queue_head_t left;
	struct completion go;
	struct completion hold;
	struct completion free_victims;
	struct completion gone;

	time64_t since;
	struct delayed_work timeout;
};

/* Called by holders: announce that the lock is held, sleep until released. */
void prov_hold(struct prov_thread *t);
/* Called by victims right before the wait that they are here for. */
void prov_waiting(struct prov_thread *t);
/*
 * Called by victims of PROV_BARRIER kinds when they hold their own lock.
 * False: the start failed, don't go on to the second lock.
 */
bool prov_barrier(struct prov_thread *t);
/* The stall has come to its own end: ask for it to be ended. */
void prov_finish(struct prov_stall *s);

/* The file "lockups". */
int prov_lockups_open(struct inode *inode, struct file *file);

struct dentry;

/* The console of console_hang. */
void prov_lockup_exit(void);

/* The file "delay". */
void prov_delay_init(struct dentry *dir);
void prov_delay_exit(void);

/* The files "rq_off" and "stop_machine". */
void prov_misc_init(struct dentry *dir);
void prov_misc_exit(void);

/* The file "nmi_echo". */
void prov_nmi_init(struct dentry *dir);
void prov_nmi_exit(void);

/* The file "guest_paused". */
void prov_paused_init(struct dentry *dir);
void prov_paused_exit(void);

/* The files "counters" and "khz". */
void prov_perf_init(struct dentry *dir);
void prov_perf_exit(void);

extern const struct prov_kind prov_hung_kinds[];
extern const unsigned int prov_hung_nr;
extern const struct prov_kind prov_lockup_kinds[];
extern const unsigned int prov_lockup_nr;

#endif /* VIGIL_PROVOKE_H */
