# placeholder: written with the guest kernel
