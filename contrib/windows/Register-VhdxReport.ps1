#Requires -RunAsAdministrator
# Registers a daily report in the Task Scheduler. It runs as SYSTEM and writes a page and a log.
param(
    [Parameter(Mandatory)] [string[]] $Path,
    [string] $Vhdx = "$env:ProgramFiles\vhdx\vhdx.exe",
    [string] $Folder = "$env:ProgramData\vhdx",
    [string] $OlderThan = '30d',
    [string] $MinFree = '10%',
    [datetime] $At = '07:00'
)
$ErrorActionPreference = 'Stop'
New-Item -ItemType Directory -Force $Folder | Out-Null

# A quoted path must not end with a backslash, which would escape the quote: D:\ becomes D:\.
$folders = ($Path | ForEach-Object { '"' + ($_ -replace '\\+$', '\.') + '"' }) -join ' '
# The page of an earlier run is removed, so that it is never taken for that of a failed run.
$command = "del /q `"$Folder\report.html`" 2>nul & `"$Vhdx`" report $folders --older-than $OlderThan --min-free $MinFree" +
    " --html `"$Folder\report.html`" > `"$Folder\report.log`" 2>&1"
$action = New-ScheduledTaskAction -Execute "$env:SystemRoot\System32\cmd.exe" -Argument "/d /s /c `"$command`""
$trigger = New-ScheduledTaskTrigger -Daily -At $At
$settings = New-ScheduledTaskSettingsSet -StartWhenAvailable -MultipleInstances IgnoreNew
Register-ScheduledTask -TaskName 'vhdx report' -Action $action -Trigger $trigger -Settings $settings `
    -User 'NT AUTHORITY\SYSTEM' -RunLevel Highest -Force
