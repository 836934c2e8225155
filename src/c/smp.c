// SPDX-License-Identifier: GPL-2.0
/*
 * Requests of CPUs to other CPUs to run a function, read while they are being
 * written, for src/sys/smp.rs.
 *
 * Memory is read by copy_from_kernel_nofault(): what was a request may be gone.
 */
#include <linux/align.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

#ifdef CONFIG_X86
#include <asm/current.h>
#endif

#include "vigil.h"

/**
 * vigil_per_cpu_address() - get the address of a CPU's part of a per-CPU variable
 * @variable: the variable's address, as the symbol table has it, or as alloc_percpu()
 *	returned it
 * @cpu: a possible CPU
 *
 * Context: any, NMI included.
 */
unsigned long vigil_per_cpu_address(unsigned long variable, unsigned int cpu)
{
#ifdef CONFIG_SMP
	return variable + per_cpu_offset(cpu);
#else
	return variable;
#endif
}

/**
 * vigil_call_read() - read a request
 * @address: where it may be
 * @call: set to it
 *
 * Context: any, NMI included.
 * Return: whether the memory could be read.
 */
int vigil_call_read(unsigned long address, struct vigil_call *call)
{
	call_single_data_t csd;

	if (copy_from_kernel_nofault(&csd, (void *)address, sizeof(csd)))
		return 0;
	call->next = (unsigned long)csd.node.llist.next;
	call->function = (unsigned long)csd.func;
	call->flags = csd.node.u_flags;
	return 1;
}

/**
 * vigil_running_stack() - get the stack of the task that runs on a CPU
 * @cpu: a possible CPU
 * @size: set to the length in bytes
 *
 * The task may be gone by the time of the return: the address is to be compared
 * and not followed.
 *
 * Context: any, NMI included.
 * Return: the lowest address; 0 where that is not known.
 */
unsigned long vigil_running_stack(unsigned int cpu, unsigned long *size)
{
	*size = THREAD_SIZE;
#if defined(CONFIG_X86) && defined(CONFIG_SMP)
	struct task_struct *task = READ_ONCE(*per_cpu_ptr(&current_task, cpu));
	void *stack;

	if (!copy_from_kernel_nofault(&stack, &task->stack, sizeof(stack)))
		return (unsigned long)stack;
#endif
	return 0;
}

/*
 * Whether memory is at an address, and not the registers of a device: to read
 * those may change what they hold, and may be fatal on arm64, even by
 * copy_from_kernel_nofault().
 */
static bool is_memory(unsigned long address)
{
	if (virt_addr_valid((void *)address))
		return true;
#ifdef MODULES_VADDR
	return address >= MODULES_VADDR && address < MODULES_END;
#else
	return false;
#endif
}

/**
 * vigil_spinlock_read() - read what may be a spinlock
 * @address: where it may be
 * @lock: set to it
 *
 * A lock in vmalloc()ed memory is not read: it looks like a register of a device.
 *
 * Context: any, NMI included.
 * Return: whether the memory could be read.
 */
int vigil_spinlock_read(unsigned long address, struct vigil_spinlock *lock)
{
#ifdef CONFIG_DEBUG_SPINLOCK
	raw_spinlock_t spinlock;
#endif

	lock->has_magic = 0;
	lock->owner_cpu = -1;
	if (!IS_ALIGNED(address, sizeof(lock->word)) || !is_memory(address))
		return 0;
	if (copy_from_kernel_nofault(&lock->word, (void *)address, sizeof(lock->word)))
		return 0;
#ifdef CONFIG_DEBUG_SPINLOCK
	if (!copy_from_kernel_nofault(&spinlock, (void *)address, sizeof(spinlock)) &&
	    spinlock.magic == SPINLOCK_MAGIC) {
		lock->has_magic = 1;
		lock->owner_cpu = spinlock.owner_cpu;
	}
#endif
	return 1;
}
