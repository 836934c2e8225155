/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the C files use of each other: not bound to Rust.
 */
#ifndef VIGIL_INTERNAL_H
#define VIGIL_INTERNAL_H

#include <linux/ptrace.h>

#include "vigil.h"

/**
 * struct vigil_cpu_state - what a CPU was running when an interrupt came
 * @snapshot: what Rust reads of it
 * @regs: the registers that the interrupt found; those of the CPU that is
 *	interrupted only, so that they are copied
 */
struct vigil_cpu_state {
	struct vigil_nmi_snapshot snapshot;
#ifdef CONFIG_X86
	struct pt_regs regs;
#endif
};

/*
 * Each makes one static call lead to @entry, the address of the function that
 * the call was declared for.
 *
 * Context: may sleep; before the first call through it.
 */
void vigil_bind_sys_info(void *entry);
void vigil_bind_print_tainted(void *entry);
void vigil_bind_sched_process_hang(void *entry);
void vigil_bind_stop_one_cpu_nowait(void *entry);
void vigil_bind_show_regs(void *entry);
void vigil_bind_dump_stack_print_info(void *entry);
void vigil_bind_print_irqtrace_events(void *entry);
void vigil_bind_scx_softlockup(void *entry);
void vigil_bind_scx_hardlockup(void *entry);
void vigil_bind_print_modules(void *entry);
void vigil_bind_printk_deferred_enter(void *entry);
void vigil_bind_printk_deferred_exit(void *entry);
void vigil_bind_trigger_backtrace(void *entry);

void vigil_cpu_state_save(struct vigil_cpu_state *state, struct pt_regs *regs);
int vigil_cpu_state_show(struct vigil_cpu_state *state);

#endif
