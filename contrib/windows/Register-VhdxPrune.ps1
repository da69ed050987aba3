#Requires -RunAsAdministrator
# Registers a weekly prune in the Task Scheduler. It runs as SYSTEM and appends to a log.
# Without -Yes, it only writes the plan. Do not use it for machines that are registered in Hyper-V.
param(
    [Parameter(Mandatory)] [string[]] $Path,
    [string] $Vhdx = "$env:ProgramFiles\vhdx\vhdx.exe",
    [string] $Folder = "$env:ProgramData\vhdx",
    [string] $OlderThan = '30d',
    [int] $KeepLast = 2,
    [datetime] $At = '03:00',
    [switch] $Yes
)
$ErrorActionPreference = 'Stop'
New-Item -ItemType Directory -Force $Folder | Out-Null

# A quoted path must not end with a backslash, which would escape the quote: D:\ becomes D:\.
$folders = ($Path | ForEach-Object { '"' + ($_ -replace '\\+$', '\.') + '"' }) -join ' '
$mode = if ($Yes) { '--yes' } else { '--dry-run' }
$command = "`"$Vhdx`" prune $folders --older-than $OlderThan --keep-last $KeepLast $mode" +
    " >> `"$Folder\prune.log`" 2>&1"
$action = New-ScheduledTaskAction -Execute "$env:SystemRoot\System32\cmd.exe" -Argument "/d /s /c `"$command`""
$trigger = New-ScheduledTaskTrigger -Weekly -DaysOfWeek Saturday -At $At
$settings = New-ScheduledTaskSettingsSet -StartWhenAvailable -MultipleInstances IgnoreNew `
    -ExecutionTimeLimit ([TimeSpan]::Zero)
Register-ScheduledTask -TaskName 'vhdx prune' -Action $action -Trigger $trigger -Settings $settings `
    -User 'NT AUTHORITY\SYSTEM' -RunLevel Highest -Force
